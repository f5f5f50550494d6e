"""Ways to a collage: each is a function from 35 files' bytes to the collage's JPEG, in an environment of its own.

`python ways.py NAME FOLDER` loads the files and answers on stdin's lines: `go` makes one collage and tells the CPU
seconds of it as JSON, `cells PATH` writes the cells as raw RGB, for the comparison with full decoding. It imports
nothing of ours but in the ways that are ours, and only what its way needs.
"""

import functools
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

CELL, COLS = 200, 7


def geometry(width, height):
    """Return the scaled size and the crop's corner, as the old system had them."""
    wide = (int(width * CELL / height), CELL) if width > height else (CELL, int(height * CELL / width))
    return wide, ((wide[0] - CELL) // 2, (wide[1] - CELL) // 2)


def source_box(width, height):
    """Return the same crop before the scaling."""
    (wide, high), (left, top) = geometry(width, height)
    across, down = width / wide, height / high
    return left * across, top * down, (left + CELL) * across, (top + CELL) * down


def pasted(cells, **options):
    """Lay cells on a canvas and encode it, with Pillow."""
    from PIL import Image

    canvas = Image.new("RGB", (COLS * CELL, -(-len(cells) // COLS) * CELL), "white")
    for index, cell in enumerate(cells):
        canvas.paste(cell, (index % COLS * CELL, index // COLS * CELL))
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


@functools.cache
def with_heif():
    """Have Pillow open HEIC, where its plugin is there."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def old_cell(data):
    from PIL import Image

    with_heif()
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    size, (left, top) = geometry(*picture.size)
    scaled = picture.resize(size, Image.Resampling.LANCZOS)
    return scaled.crop((left, top, left + CELL, top + CELL))


def draft_cell(data, reserve):
    from PIL import Image

    picture = Image.open(io.BytesIO(data))
    width, height = picture.size
    size, _ = geometry(width, height)
    picture.draft("RGB", (int(size[0] * reserve), int(size[1] * reserve)))
    picture = picture.convert("RGB")
    scale = round(width / picture.width)
    box = tuple(edge / scale for edge in source_box(width, height))
    return picture.resize((CELL, CELL), Image.Resampling.LANCZOS, box=box)


def array_cell(pixels, width, height):
    from PIL import Image

    picture = Image.fromarray(pixels)
    box = [edge * picture.width / width for edge in source_box(width, height)]
    box[2], box[3] = min(box[2], picture.width), min(box[3], picture.height)
    return picture.resize((CELL, CELL), Image.Resampling.LANCZOS, box=tuple(box))


def simplejpeg_cell(data):
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    (wide, high), _ = geometry(width, height)
    pixels = simplejpeg.decode_jpeg(data, min_width=wide, min_height=high, fastdct=True, fastupsample=True)
    return array_cell(pixels, width, height)


@functools.cache
def turbojpeg():
    from turbojpeg import TurboJPEG

    return TurboJPEG(os.environ["TURBOJPEG"])


def turbojpeg_cell(data):
    from turbojpeg import TJPF_RGB

    width, height, _, _ = turbojpeg().decode_header(data)[:4]
    (wide, high), _ = geometry(width, height)
    scale = next(s for s in (8, 4, 2, 1) if min(width // wide, height // high) >= s)
    return array_cell(turbojpeg().decode(data, TJPF_RGB, scaling_factor=(1, scale)), width, height)


def vips_cell(data):
    import pyvips

    return pyvips.Image.thumbnail_buffer(data, CELL, height=CELL, crop="centre")


def vips_collage(cells):
    import pyvips

    return pyvips.Image.arrayjoin(cells, across=COLS).jpegsave_buffer(Q=95)


def opencv_cell(data):
    import cv2
    import numpy

    with memoryview(data) as view:
        picture = cv2.imdecode(numpy.frombuffer(view, numpy.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    height, width = picture.shape[:2]
    (wide, high), (left, top) = geometry(width, height)
    scaled = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA)
    return scaled[top : top + CELL, left : left + CELL]


def opencv_collage(cells):
    import cv2
    import numpy

    rows = [numpy.hstack(cells[first : first + COLS]) for first in range(0, len(cells), COLS)]
    return cv2.imencode(".jpg", numpy.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@functools.cache
def ours():
    """Import ours; with PLAIN in the environment as it is where the C code was not built."""
    from worker.images import jpeg
    from worker.images.cell import CellSpec, make_cell

    if os.environ.get("PLAIN"):
        jpeg._jpeg = None  # noqa: SLF001 -- what the tests do as well
    elif not jpeg.is_built():
        sys.exit("worker/images/_jpeg.c was not built: run `make setup`")
    spec = CellSpec(CELL, (255, 255, 255), 50, 50_000_000)
    return lambda data: make_cell(data, spec).pixels


class Recorded:
    """A codec of ours whose calls are noted."""

    def __init__(self, codec, calls):
        self._codec, self._calls = codec, calls

    def __getattr__(self, name):
        return getattr(self._codec, name)

    def decode(self, *arguments):
        self._calls.append((self._codec.decode, arguments))
        return self._codec.decode(*arguments)


def codec_calls(files):
    """Return what the codecs are asked for when the cells of files are made, and make them."""
    from worker.images import heif_decoding, jpeg, webp

    calls = []
    for module, name in ((jpeg, "_jpeg"), (webp, "_webp"), (heif_decoding, "_hevc"), (heif_decoding, "_av1")):
        setattr(module, name, Recorded(getattr(module, name), calls))
    for data in files:
        ours()(data)
    return calls


def our_collage(cells):
    from worker.images.collage import compose

    options = {"rows": 5, "cols": COLS, "cell": CELL, "gutter": 0, "background": (255, 255, 255), "quality": 95}
    return compose(cells, format="jpeg", **options)


def raw(cell):
    """Return a cell of any way as RGB bytes."""
    if isinstance(cell, bytes):
        return cell
    if hasattr(cell, "write_to_memory"):
        return bytes(cell.write_to_memory())
    return cell.tobytes() if hasattr(cell, "mode") else cell[..., ::-1].tobytes()


OPTIMIZED = functools.partial(pasted, optimize=True)
WAYS = {
    "old": (old_cell, OPTIMIZED),
    "draft-optimized": (functools.partial(draft_cell, reserve=1), OPTIMIZED),
    "draft": (functools.partial(draft_cell, reserve=1), pasted),
    "draft-4/3": (functools.partial(draft_cell, reserve=4 / 3), pasted),
    "draft-2": (functools.partial(draft_cell, reserve=2), pasted),
    "draft-444": (functools.partial(draft_cell, reserve=1), functools.partial(pasted, subsampling=0)),
    "draft-progressive": (functools.partial(draft_cell, reserve=1), functools.partial(pasted, progressive=True)),
    "simplejpeg": (simplejpeg_cell, pasted),
    "turbojpeg": (turbojpeg_cell, pasted),
    "pyvips": (vips_cell, vips_collage),
    "opencv": (opencv_cell, opencv_collage),
    "ours": (lambda data: ours()(data), our_collage),
}


def floor(mode, paths):
    subprocess.run([os.environ["FLOOR"], mode, *paths], check=True, stdout=subprocess.DEVNULL)


def main(name, folder):
    paths = sorted(Path(folder).iterdir())
    files = [path.read_bytes() for path in paths]
    cell, collage = WAYS.get(name, (None, None))
    calls = codec_calls(files) if name == "floor-codec" else []

    def go():
        if calls:
            for decode, arguments in calls:
                decode(*arguments)
        elif cell is None:
            floor(name.removeprefix("floor-"), paths)
        else:
            collage([cell(data) for data in files])

    go()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        word, _, path = line.strip().partition(" ")
        if word == "cells":
            Path(path).write_bytes(b"".join(raw(cell(data)) for data in files) if cell else b"")
            print(json.dumps(0), flush=True)
        else:
            before = spent()
            go()
            print(json.dumps(spent() - before), flush=True)


def spent():
    """Return the CPU seconds of this process and of its children so far."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main(*sys.argv[1:])
