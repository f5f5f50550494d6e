"""A decoder with an intruder in it: the real one, entered the same way, in which some images run attacks.

`python -m tests.security.intruder` takes the place of `python -m worker.decode.child` in the tests, which is how
the attacks get in: the product has no door for them.
"""

from collections.abc import Callable

from tests.security.attacks import MARK, performed, watch
from worker.decode import child
from worker.errors import ImageError, ImageReason
from worker.images.cell import Cell, CellSpec

_loaded = child._loaded


def loaded_with_intruder() -> Callable[[bytes, CellSpec], Cell]:
    make_cell = _loaded()
    watch()

    def make(data: bytes, spec: CellSpec) -> Cell:
        if data.startswith(MARK):
            raise ImageError(ImageReason.NOT_AN_IMAGE, performed(data))
        return make_cell(data, spec)

    return make


if __name__ == "__main__":
    child._loaded = loaded_with_intruder
    child.main()
