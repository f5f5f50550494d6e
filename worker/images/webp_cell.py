"""The cell of a WebP: of an animation, of its first frame over the background."""

from dataclasses import replace

from PIL import Image

from worker.images import geometry, sniff, webp, webp_container
from worker.images.cell_spec import Cell, CellSpec, check_size
from worker.images.cutting import cut_for
from worker.images.pillow import cell_of_whole, exif_orientation, finished, on_canvas, opened


def make_webp_cell(data: bytes, image_format: str, spec: CellSpec) -> Cell:
    """Return the cell of a WebP; raises `ImageError`, and whatever Pillow does."""
    if canvas := sniff.webp_canvas(data):
        check_size(canvas, spec)
    found = webp_container.read(data)
    check_size(found.size, spec)
    orientation = exif_orientation(found.exif)
    file = found.plain_file()
    cell = _cut_by_c(file, found, orientation, spec)
    if cell is None:
        with opened(file, image_format, replace(spec, min_side=1)) as picture:
            cell = cell_of_whole(on_canvas(picture, found.frame, found.size), orientation, found.profile, spec)
    width, height = geometry.shown_size(found.size, orientation)
    return Cell(cell.tobytes("raw", "RGB"), width, height, image_format)


def _cut_by_c(file: bytes, found: webp_container.WebP, orientation: int, spec: CellSpec) -> Image.Image | None:
    """Decode the shown part alone; None where that is left to Pillow."""
    if spec.size > spec.keep_side or found.alpha is not None or found.frame != (0, 0, *found.size):
        return None
    cut = cut_for(found.size, orientation, spec.size, scales=False)
    cell = webp.cut(file, found.size, cut.looked_at, cut.box, spec.size)
    return None if cell is None else finished(cell, orientation, found.profile)
