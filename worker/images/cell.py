"""The bytes of one image become one cell. It runs in a decoder process, because the bytes may be hostile.

Pillow-SIMD lacks the later security fixes of Pillow: formats are always named, sizes are checked before memory is
taken, and colour profiles are applied to one combination of modes only (see `docs/decisions/`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from worker.errors import ImageError, ImageReason
from worker.images import heif_decoding, sniff
from worker.images.cell_spec import Cell, CellSpec, too_many_pixels
from worker.images.gif_cell import make_gif_cell
from worker.images.heif import UnsupportedHeif
from worker.images.heif_cell import make_heif_cell
from worker.images.jpeg_cell import make_jpeg_cell
from worker.images.png_cell import make_png_cell
from worker.images.webp_cell import make_webp_cell

__all__ = ["Cell", "CellSpec", "make_cell"]


_MAKERS: dict[str, Callable[[bytes, str, CellSpec], Cell]] = {
    "JPEG": make_jpeg_cell,
    "PNG": make_png_cell,
    "WEBP": make_webp_cell,
    "GIF": make_gif_cell,
    "AVIF": make_heif_cell,
    "HEIC": make_heif_cell,
}


def make_cell(data: bytes, spec: CellSpec) -> Cell:
    """Return the cell of one image; the same bytes give the same cell.

    Raises `ImageError` with `too_small`, `too_many_pixels`, `truncated`, `not_an_image`, `unsupported_format` or
    `decode_memory`, and nothing else.
    """
    image_format = _allowed_format(data)
    with _failures_told(image_format, spec):
        return _MAKERS[image_format](data, image_format, spec)


def _allowed_format(data: bytes) -> str:
    found = sniff.sniffed_format(data)
    if found is None:
        raise ImageError(ImageReason.NOT_AN_IMAGE, f"the data begins with {data[:12]!r}, as no known image does")
    if found not in sniff.ALLOWED_FORMATS:
        allowed = ", ".join(sniff.ALLOWED_FORMATS)
        raise ImageError(ImageReason.UNSUPPORTED_FORMAT, f"the image is {found}; allowed are {allowed}")
    return found


@contextmanager
def _failures_told(image_format: str, spec: CellSpec) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(ImageReason.DECODE_MEMORY, f"no memory left to decode this {image_format}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise too_many_pixels(spec) from error
    except heif_decoding.MissingCodec as error:
        raise ImageError(ImageReason.UNSUPPORTED_FORMAT, str(error)) from error
    except UnsupportedHeif as error:
        raise ImageError(
            ImageReason.UNSUPPORTED_FORMAT, f"the {image_format} file shows {error}, which is not supported"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(ImageReason.TRUNCATED, f"{image_format} whose header cannot be read") from error
    except Exception as error:  # whatever a codec raises on hostile data, it is this image that cannot be used
        if "out of memory" in str(error):
            raise ImageError(ImageReason.DECODE_MEMORY, f"no memory left to decode this {image_format}") from error
        raise ImageError(ImageReason.TRUNCATED, f"{image_format} that cannot be decoded: {error!s:.200}") from error
