"""Makes the files of `images/` and their `expected.json`: `python -m tests.cases.make_images`.

HEIC and AVIF need the encoders of Debian's packages libheif-examples and libavif-bin, which nothing else here needs.
Each file stands for a kind that people have; what each is like is the same small picture, wherever that is possible.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit import heifs
from tests.unit.pictures import encoded, photo

FOLDER = Path(__file__).parent / "images"
WIDTH, HEIGHT = 96, 128
SIZE = 200


@dataclass(frozen=True)
class Case:
    """A file, and what comes of it: `like` a picture, or a `reason`."""

    data: bytes
    like: Image.Image | None = None
    reason: str = ""
    most: float = 4.0
    headers: dict[str, str] = field(default_factory=dict)


PICTURE = photo(WIDTH, HEIGHT, 7)


def with_alpha(picture: Image.Image = PICTURE) -> Image.Image:
    """Return the picture with an alpha that rises from left to right."""
    ramp = np.linspace(0, 255, picture.width).astype(np.uint8)
    turned = picture.copy()
    turned.putalpha(Image.fromarray(np.tile(ramp, (picture.height, 1))))
    return turned


def over_white(picture: Image.Image) -> Image.Image:
    """Return an RGBA picture over white."""
    canvas = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(canvas, picture).convert("RGB")


def cell(picture: Image.Image) -> Image.Image:
    """Return the cell of a whole picture by the contract's geometry."""
    width, height = picture.size
    scaled = (width * SIZE // height, SIZE) if width > height else (SIZE, height * SIZE // width)
    left, top = (scaled[0] - SIZE) // 2, (scaled[1] - SIZE) // 2
    return picture.resize(scaled, Image.Resampling.LANCZOS).crop((left, top, left + SIZE, top + SIZE))


def heic(picture: Image.Image, *options: str) -> bytes:
    """Encode by libheif and x265."""
    return _by_tool(picture, "out.heic", ["heif-enc", "-q", "92", *options, "in.png", "-o", "out.heic"])


def avif(picture: Image.Image, *options: str) -> bytes:
    """Encode by libavif and libaom."""
    return _by_tool(
        picture, "out.avif", ["avifenc", "-s", "3", "--min", "6", "--max", "12", *options, "in.png", "out.avif"]
    )


def _by_tool(picture: Image.Image, made: str, command: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        picture.save(Path(folder) / "in.png")
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (Path(folder) / made).read_bytes()


def heif_cases() -> dict[str, Case]:
    """Return HEIC files, and those that only share their container."""
    plain = heic(PICTURE)
    coded = heifs.coded_item(plain)
    shown = [*coded.properties, heifs.ispe(WIDTH, HEIGHT), heifs.nclx(1, 13, 6, full_range=True)]
    lying = heifs.coded_item(heic(PICTURE.transpose(Image.Transpose.ROTATE_90)))
    exif = b"\0\0\0\6Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    turned = [*lying.properties, heifs.ispe(HEIGHT, WIDTH), heifs.nclx(1, 13, 6, full_range=True), heifs.irot(3)]
    mirrored = heifs.coded_item(heic(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    return {
        "heic.heic": Case(plain, PICTURE),
        "heic-10-bit.heic": Case(heic_10_bit(PICTURE), PICTURE),
        "heic-4-4-4.heic": Case(heic(PICTURE, "-p", "chroma=444"), PICTURE),
        "heic-grey.heic": Case(heic(PICTURE.convert("L")), PICTURE.convert("L")),
        "heic-alpha.heic": Case(heic(with_alpha()), over_white(with_alpha())),
        "heic-cut.heic": Case(plain[: len(plain) * 7 // 10], reason="truncated"),
        "heic-trailing-bytes.heic": Case(plain + bytes(1000), PICTURE),
        "heic-turned-by-irot-and-said-so-by-exif.heic": Case(
            heifs.written(
                {1: heifs.Item(b"hvc1", lying.data, turned), 2: heifs.Item(b"Exif", exif, [])},
                references=[(b"cdsc", 2, [1])],
            ),
            PICTURE,
        ),
        "heic-mirrored-by-imir.heic": Case(
            heifs.written({1: heifs.Item(b"hvc1", mirrored.data, [*mirrored.properties, *shown[1:], heifs.imir(1)])}),
            PICTURE,
        ),
        "heic-without-its-thumbnail.heic": Case(
            heifs.written(
                {1: heifs.Item(b"hvc1", coded.data, shown), 2: heifs.Item(b"hvc1", coded.data, shown)},
                references=[(b"thmb", 2, [1])],
            )[: -len(coded.data) // 2],
            PICTURE,
        ),
        "heif-of-jpeg.heif": Case(
            heifs.written(
                {1: heifs.Item(b"jpeg", encoded(PICTURE, "JPEG"), [heifs.ispe(WIDTH, HEIGHT)])}, brand=b"mif1"
            ),
            reason="unsupported_format",
        ),
        **grid_cases(),
    }


def heic_10_bit(picture: Image.Image) -> bytes:
    """Encode with 10 bits, which heif-enc does of 16-bit files only."""
    deep = np.asarray(picture).astype(np.uint16) * 257
    with tempfile.TemporaryDirectory() as folder:
        from tests.unit.pictures import png_16_bit  # noqa: PLC0415

        (Path(folder) / "in.png").write_bytes(png_16_bit(deep, 2))
        subprocess.run(
            ["heif-enc", "-q", "92", "-b", "10", "in.png", "-o", "out.heic"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return (Path(folder) / "out.heic").read_bytes()


def grid_cases() -> dict[str, Case]:
    """Return HEIC files of six tiles, which overhang, as phones write them."""
    columns, rows, side = 2, 3, 64
    canvas = Image.new("RGB", (columns * side, rows * side))
    tall = PICTURE.resize((WIDTH, rows * side - 12), Image.Resampling.LANCZOS)
    canvas.paste(tall)
    tiles = [
        heifs.coded_item(heic(canvas.crop((x, y, x + side, y + side))))
        for y in range(0, rows * side, side)
        for x in range(0, columns * side, side)
    ]
    described = [heifs.ispe(side, side), heifs.nclx(1, 13, 6, full_range=True)]
    items = {1: heifs.Item(b"grid", heifs.grid(rows, columns, *tall.size), [heifs.ispe(*tall.size), described[1]])}
    items |= {
        number: heifs.Item(b"hvc1", tile.data, [*tile.properties, *described]) for number, tile in enumerate(tiles, 2)
    }
    references = [(b"dimg", 1, list(items)[1:])]
    whole = heifs.written(items, references=references)
    return {
        "heic-grid.heic": Case(whole, tall),
        "heic-grid-wide-numbers.heic": Case(heifs.written(items, references=references, wide=True), tall),
        "heic-grid-tile-cut.heic": Case(whole[: -len(tiles[-1].data) // 2], reason="truncated"),
    }


def avif_cases() -> dict[str, Case]:
    """Return AVIF files."""
    plain = avif(PICTURE)
    lying = PICTURE.transpose(Image.Transpose.ROTATE_90)
    return {
        "avif.avif": Case(plain, PICTURE),
        "avif-4-2-0.avif": Case(avif(PICTURE, "-y", "420"), PICTURE),
        "avif-4-2-2.avif": Case(avif(PICTURE, "-y", "422"), PICTURE),
        "avif-10-bit.avif": Case(avif(PICTURE, "-d", "10"), PICTURE),
        "avif-12-bit.avif": Case(avif(PICTURE, "-d", "12"), PICTURE),
        "avif-grey-limited-range.avif": Case(
            avif(PICTURE.convert("L"), "-y", "400", "-r", "limited"), PICTURE.convert("L")
        ),
        "avif-limited-range.avif": Case(avif(PICTURE, "-r", "limited"), PICTURE),
        "avif-alpha.avif": Case(avif(with_alpha()), over_white(with_alpha())),
        "avif-premultiplied-alpha.avif": Case(avif(with_alpha(), "--premultiply"), over_white(with_alpha())),
        "avif-rgb.avif": Case(avif(PICTURE, "--cicp", "1/13/0"), PICTURE),
        "avif-bt-709.avif": Case(avif(PICTURE, "--cicp", "1/1/1"), PICTURE),
        "avif-turned-by-irot.avif": Case(avif(lying, "--irot", "3"), PICTURE),
        "avif-mirrored-by-imir.avif": Case(
            avif(PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "--imir", "0"), PICTURE
        ),
        "avif-cut.avif": Case(plain[: len(plain) * 7 // 10], reason="truncated"),
    }


def main() -> None:
    """Write all files."""
    cases = heif_cases() | avif_cases()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    references: dict[bytes, str] = {}
    expected = {}
    for name, case in cases.items():
        (FOLDER / name).write_bytes(case.data)
        if case.like is None:
            expected[name] = {"reason": case.reason}
            continue
        reference = cell(case.like.convert("RGB"))
        like = references.setdefault(reference.tobytes(), f"{Path(name).stem}.reference.png")
        reference.save(FOLDER / like, optimize=True)
        expected[name] = {"like": like, "max_mean_difference": case.most} | (
            {"headers": case.headers} if case.headers else {}
        )
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
