"""The pictures of a HEIC or AVIF file, decoded: only the tiles that a cell shows, in the calling thread.

libde265 decodes HEVC (`_hevc.c`) and dav1d AV1 (`_av1.c`). Where one of them was not there when the worker was built,
its format is refused by name.
"""

from PIL import Image

from worker.images.geometry import Box, Size
from worker.images.heif import Coded, Colours, HeifPicture, stream
from worker.images.planes import Planes

try:
    from worker.images import _hevc
except ImportError:  # not built
    _hevc = None  # type: ignore[assignment]
try:
    from worker.images import _av1
except ImportError:  # not built
    _av1 = None  # type: ignore[assignment]

_PADDING = 64
"""Coded sides are multiples of up to so many px."""

PACKAGES = {"HEIC": "libde265-dev", "AVIF": "libdav1d-dev"}
"""What Debian and Ubuntu call the library that decodes a format, with what is needed to build against it."""


class MissingCodec(Exception):
    """The library that decodes a picture was not there when the worker was built."""

    def __init__(self, codec: str) -> None:
        image_format = "HEIC" if codec == "HEVC" else "AVIF"
        package = PACKAGES[image_format]
        super().__init__(
            f"the image is {image_format}, and its decoder was not built; install {package} and run `make setup` again"
        )


def is_built(image_format: str) -> bool:
    """Tell whether HEIC or AVIF can be decoded here."""
    return (_hevc if image_format == "HEIC" else _av1) is not None


def decoded_region(picture: HeifPicture, coded: Coded, box: Box) -> tuple[Planes, Colours, tuple[int, int]]:
    """Decode the tiles that hold `box` of a stored picture.

    Returns their planes put together, the colours as the stream tells them, and where their upper left corner lies in
    the stored picture. Raises `ValueError` for data that are not whole and sound, and `MissingCodec`.
    """
    (width, height), columns = coded.tile, coded.columns
    across = range(box[0] // width, -(-box[2] // width))
    down = range(box[1] // height, -(-box[3] // height))
    tiles = [[_decoded(picture, coded, coded.items[row * columns + column]) for column in across] for row in down]
    told = tiles[0][0][1]
    planes = [_joined([[tile[index] for tile, _ in row] for row in tiles]) for index in range(len(tiles[0][0][0]))]
    return Planes(planes, told.matrix, told.full_range), told, (across.start * width, down.start * height)


def _decoded(picture: HeifPicture, coded: Coded, item: int) -> tuple[list[Image.Image], Colours]:
    """Return the planes of one tile, and the colours as its stream tells them."""
    (width, height), codec = coded.tile, coded.codec
    most_pixels = (width + _PADDING) * (height + _PADDING)
    data = stream(picture.meta, codec, item, most_pixels)
    if codec == "HEVC" and _hevc is not None:
        found, (primaries, transfer, matrix, full_range) = _hevc.decode(data)
    elif codec == "AV1" and _av1 is not None:
        found, (primaries, transfer, matrix, full_range) = _av1.decode(data, most_pixels)
    else:
        raise MissingCodec(codec)
    planes = [Image.frombuffer("L", (wide, high), samples, "raw", "L", 0, 1) for wide, high, samples in found]
    if planes[0].width < width or planes[0].height < height:
        raise ValueError(f"its coded picture has {planes[0].width} x {planes[0].height} px, not {width} x {height}")
    colours = Colours(primaries, transfer, matrix, bool(full_range))
    return [_without_padding(plane, planes[0].size, coded.tile) for plane in planes], colours


def _without_padding(plane: Image.Image, luma: Size, wanted: Size) -> Image.Image:
    """Return of a plane what belongs to the `wanted` px of luma: both sizes are the same, or chroma's is half of it."""
    if luma == wanted:
        return plane
    sides = [-(-side // (2 if have < whole else 1)) for side, have, whole in zip(wanted, plane.size, luma, strict=True)]
    return plane.crop((0, 0, sides[0], sides[1]))


def _joined(tiles: list[list[Image.Image]]) -> Image.Image:
    """Put planes of one size together, row by row."""
    if len(tiles) == len(tiles[0]) == 1:
        return tiles[0][0]
    width, height = tiles[0][0].size
    canvas = Image.new("L", (len(tiles[0]) * width, len(tiles) * height))
    for down, row in enumerate(tiles):
        for across, tile in enumerate(row):
            if tile.size != (width, height):
                raise ValueError("the tiles of its grid differ")
            canvas.paste(tile, (across * width, down * height))
    return canvas
