"""What newer Pillows mend and Pillow-SIMD 12.1.1 does not, where a file could reach it; SECURITY.md has the list.

Imported for its effect, before any image is opened.
"""

import re
from typing import Final

from PIL import Image

_HEADERS: Final = re.compile(rb"(?:Exif\0\0)*")
_load = Image.Exif.load


def load_exif(exif: Image.Exif, data: bytes) -> None:
    """Read EXIF as Pillow does, but take repeated headers off at once (CVE-2026-96643).

    Pillow takes them off one by one and copies the rest each time: 1 MB of headers costs 4 s, and 3 MB a minute.
    """
    _load(exif, _HEADERS.sub(b"", data, count=1))


Image.Exif.load = load_exif  # type: ignore[method-assign, assignment]
