"""The cell of a JPEG."""

from PIL import Image

from worker.errors import ImageError, ImageReason
from worker.images import geometry, jpeg, jpeg_header, lanczos
from worker.images.cell_spec import Cell, CellSpec, refuse_missing_rows
from worker.images.cutting import DRAFT_RESERVE, Cut, cut_for, cut_from_kept, resized
from worker.images.pillow import exif_orientation, finished, opened, resizable
from worker.images.profiles import is_cmyk_profile

_END = b"\xff\xd9"


def make_jpeg_cell(data: bytes, image_format: str, spec: CellSpec) -> Cell:
    """Return the cell of a JPEG; raises `ImageError`, and whatever Pillow does."""
    _refuse_rare_kinds(data)
    with opened(data, image_format, spec) as picture:
        orientation = exif_orientation(picture.info.get("exif"))
        cut = cut_for(picture.size, orientation, spec.size, scales=True)
        keeps = spec.size <= spec.keep_side
        profile = picture.info.get("icc_profile")
        stays_cmyk = picture.mode == "CMYK" and is_cmyk_profile(profile)
        cell = _cut_by_c(data, picture.size, orientation, spec) if keeps else None
        if cell is None:
            data = _completed(data, picture.size, cut)
            cell = _cut_by_c(data, picture.size, orientation, spec) if keeps else None
        if cell is None:
            cell = _cut_by_pillow(data, image_format, orientation, spec, stays_cmyk=stays_cmyk)
        cell = finished(cell, orientation, profile if stays_cmyk or picture.mode in ("L", "RGB") else None)
        width, height = geometry.shown_size(picture.size, orientation)
        return Cell(cell.tobytes("raw", "RGB"), width, height, image_format)


def _refuse_rare_kinds(data: bytes) -> None:
    found = jpeg_header.frame(data)
    if found is None:
        return
    kind = found.rare_kind or (f"of {found.bits} bits" if found.bits != 8 else None)
    if kind is not None:
        raise ImageError(
            ImageReason.UNSUPPORTED_FORMAT,
            f"the image is a JPEG of a rare kind ({kind}); allowed are baseline and progressive ones of 8 bits",
        )


def _cut_by_c(data: bytes, stored: geometry.Size, orientation: int, spec: CellSpec) -> Image.Image | None:
    """Decode the shown part alone; None where that is left to Pillow. What has fine lines is decoded again, larger."""
    cut = cut_for(stored, orientation, spec.size, scales=True)
    region = jpeg.decoded_region(data, stored, cut.divisor, cut.looked_at)
    if region is not None and (divisor := region.divisor(cut.divisor)) < cut.divisor:
        cut = cut_for(stored, orientation, spec.size, scales=True, most=divisor)
        region = jpeg.decoded_region(data, stored, cut.divisor, cut.looked_at)
    if region is None:
        return None
    box = cut.box[0] - region.left, cut.box[1] - region.top, cut.box[2] - region.left, cut.box[3] - region.top
    if region.picture.mode == "L" and lanczos.is_built():  # Pillow takes three times as long for it as for colours
        grey = lanczos.Plane(region.picture.tobytes(), *region.picture.size)
        return lanczos.cell([grey], box, spec.size, ())
    return resized(region.picture, box, spec.size)


def _completed(data: bytes, stored: geometry.Size, cut: Cut) -> bytes:
    """Return the file with an end marker, of which a second one does no harm.

    Raises `ImageError` where rows are missing that the cell shows, in whose place libjpeg would show grey.
    """
    held = jpeg.rows_held(data)
    if held is None:
        return data
    refuse_missing_rows("JPEG", held, stored[1], cut.looked_at[3] * cut.divisor)
    return data + _END


def _cut_by_pillow(
    data: bytes, image_format: str, orientation: int, spec: CellSpec, *, stays_cmyk: bool
) -> Image.Image:
    """Decode the whole. A picture in CMYK becomes RGB before it is resized, unless it `stays_cmyk` for its profile."""
    with opened(data, image_format, spec) as picture:
        stored, keeps = picture.size, spec.size <= spec.keep_side
        cut = cut_for(stored, orientation, spec.size, scales=True)
        kept = geometry.kept_size(*stored, spec.keep_side)
        divisor = cut.divisor if keeps else geometry.draft_scale(stored, kept, DRAFT_RESERVE)
        if divisor > 1:
            picture.draft(None, (stored[0] // divisor, stored[1] // divisor))
        whole = picture if stays_cmyk else resizable(picture)
        if keeps:
            return resized(whole, cut.box, spec.size)
        return cut_from_kept(whole, stored, divisor, orientation, (spec.size, spec.keep_side))
