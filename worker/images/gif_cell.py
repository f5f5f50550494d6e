"""The cell of a GIF: of an animation, of its first frame."""

from dataclasses import replace

from worker.images import geometry, gif
from worker.images.cell_spec import Cell, CellSpec, check_size
from worker.images.cutting import cut_for
from worker.images.pillow import cell_of_whole, decoded, on_canvas


def make_gif_cell(data: bytes, image_format: str, spec: CellSpec) -> Cell:
    """Return the cell of a GIF; raises `ImageError`, and whatever Pillow does."""
    found = gif.read(data)
    check_size(found.size, spec)
    needed = cut_for(found.size, geometry.UPRIGHT, spec.size, scales=False).looked_at[3] - found.frame[1]
    picture = decoded(found.plain_file(), image_format, replace(spec, min_side=1), needed)
    if found.transparency is not None:
        picture.info["transparency"] = found.transparency
    cell = cell_of_whole(on_canvas(picture, found.frame, found.size), geometry.UPRIGHT, None, spec)
    return Cell(cell.tobytes("raw", "RGB"), *found.size, image_format)
