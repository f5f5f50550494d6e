"""The cell of a HEIC or AVIF image."""

from typing import TypeVar

from PIL import Image
from PIL.Image import Resampling

from worker.images import cicp, profiles
from worker.images.cell_spec import Cell, CellSpec, check_size
from worker.images.cutting import cut_for, cut_from_kept, over_background, resized, upright
from worker.images.geometry import Box, shown_size
from worker.images.heif import Coded, HeifPicture, read
from worker.images.heif_decoding import decoded_region
from worker.images.planes import Planes

_Side = TypeVar("_Side", int, float)


def make_heif_cell(data: bytes, image_format: str, spec: CellSpec) -> Cell:
    """Return the cell of a HEIC or AVIF image; raises as `heif.read` and `decoded_region` do."""
    picture = read(data)
    check_size(picture.colour.size, spec)
    check_size(picture.size, spec)
    cell = _cut(picture, spec)
    width, height = shown_size(picture.size, picture.orientation)
    return Cell(upright(cell, picture.orientation).convert("RGB").tobytes(), width, height, image_format)


def _cut(picture: HeifPicture, spec: CellSpec) -> Image.Image:
    """Return the stored picture's part that the cell shows, in sRGB, as L or RGB."""
    cut = cut_for(picture.size, picture.orientation, spec.size, scales=False)
    if spec.size > spec.keep_side:
        whole = _whole(picture, picture.region, spec)
        return cut_from_kept(whole, picture.size, 1, picture.orientation, (spec.size, spec.keep_side))
    region = _moved(cut.looked_at, picture.region)
    if picture.alpha is not None:
        return resized(_whole(picture, region, spec), _within(_moved(cut.box, picture.region), region), spec.size)
    planes, profile, corner = _decoded(picture, region)
    box = _within(_moved(cut.box, picture.region), corner)
    return profiles.in_srgb(planes.resized(box, (spec.size, spec.size)), profile)


def _whole(picture: HeifPicture, region: Box, spec: CellSpec) -> Image.Image:
    """Return a part of the stored picture without scaling it, in sRGB and over the background."""
    planes, profile, corner = _decoded(picture, region)
    colours = planes.whole().crop(_within(region, corner))
    if picture.alpha is None:
        return profiles.in_srgb(colours, profile)
    merged = _with_alpha(colours.convert("RGB"), _alpha(picture, picture.alpha, region), picture)
    return over_background(merged, spec.background, profile)


def _decoded(picture: HeifPicture, region: Box) -> tuple[Planes, bytes | None, tuple[int, int]]:
    """Decode the part; what the file says of its colours goes before what the coded picture says."""
    planes, told, corner = decoded_region(picture, picture.colour, region)
    told = picture.colours or told
    profile = picture.profile or cicp.profile(told.primaries, told.transfer)
    return Planes(planes.planes, told.matrix, told.full_range), profile, corner


def _alpha(picture: HeifPicture, coded: Coded, region: Box) -> Image.Image:
    """Return the alpha of a part of the stored picture, in the range from 0 to 255 whatever the stream says."""
    if coded.size == picture.colour.size:
        planes, _, corner = decoded_region(picture, coded, region)
        return planes.planes[0].crop(_within(region, corner))
    planes, _, _ = decoded_region(picture, coded, (0, 0, *coded.size))
    return planes.planes[0].resize(picture.colour.size, Resampling.BILINEAR).crop(region)


def _with_alpha(colours: Image.Image, alpha: Image.Image, picture: HeifPicture) -> Image.Image:
    if picture.is_premultiplied:
        return Image.merge("RGBa", (*colours.split(), alpha)).convert("RGBA")
    colours.putalpha(alpha)
    return colours


def _moved(box: tuple[_Side, _Side, _Side, _Side], region: Box) -> tuple[_Side, _Side, _Side, _Side]:
    return box[0] + region[0], box[1] + region[1], box[2] + region[0], box[3] + region[1]


def _within(box: tuple[_Side, _Side, _Side, _Side], region: tuple[int, ...]) -> tuple[_Side, _Side, _Side, _Side]:
    return box[0] - region[0], box[1] - region[1], box[2] - region[0], box[3] - region[1]
