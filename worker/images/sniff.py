"""What an image's first bytes say it is, whatever it is called or served as. Pure; it decodes nothing."""

import re

ALLOWED_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC")
"""What becomes a cell."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
"""They say that there are pictures, and not how these are coded."""

_FOREIGN_FORMATS = (
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("ICO", rb"\0\0[\1\2]\0[^\0]"),
    ("PSD", rb"8BPS"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("JPEG XL", rb"\0\0\0\x0cJXL |\xff\x0a"),
    ("JPEG XR", rb"II\xbc"),
    ("PDF", rb"%PDF-"),
    ("PostScript", rb"%!PS"),
    # the groups are atomic: comments that could be split in many ways must not make the search exponential
    ("SVG", rb"(?:\xef\xbb\xbf)?\s*(?:(?><\?xml.*?>|<!--.*?-->|<!DOCTYPE\s+svg.*?>)\s*)*<svg[\s>]"),
    ("QOI", rb"qoif"),
    ("DDS", rb"DDS "),
    ("OpenEXR", rb"v/1\x01"),
    ("PNM", rb"P[1-7]\s"),
)

_SHORT = 32
"""Fewer bytes than this may be the beginning of anything."""
_TOLD_BYTES = 1_024
# White space, comments and an XML declaration may stand before an SVG's element.
_MAY_BECOME_SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<(?:!--|\?xml|!DOCTYPE\s+svg|svg)|.{0,16}\Z)", re.DOTALL)


def sniffed_format(beginning: bytes) -> str | None:
    """Return the name of the image format that the data begins like; the first 1,024 bytes are enough to tell."""
    if beginning.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if beginning.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if beginning.startswith(b"RIFF") and beginning[8:12] == b"WEBP":
        return "WEBP"
    if beginning[4:8] == b"ftyp":
        return _heif_family(beginning)
    return next((name for name, magic in _FOREIGN_FORMATS if re.match(magic, beginning[:1024], re.DOTALL)), None)


def could_be_image(beginning: bytes) -> bool:
    """Tell whether data that begins so may be an image, of any format that is known here, decodable or not.

    Of fewer than 1,024 bytes it may be that more have to come before that can be told: then the answer is yes.
    """
    if len(beginning) < _SHORT or sniffed_format(beginning) is not None:
        return True
    return len(beginning) < _TOLD_BYTES and bool(_MAY_BECOME_SVG.match(beginning))


def _heif_family(beginning: bytes) -> str | None:
    """Tell AVIF and HEIC by the brands, also from an MP4, which begins with the same box; ISO/IEC 14496-12, 4.3."""
    end = min(int.from_bytes(beginning[:4]), 256)
    major, others = beginning[8:12], {beginning[at : at + 4] for at in range(16, end, 4)}
    for name, brands in (("AVIF", _AVIF_BRANDS), ("HEIC", _HEIC_BRANDS)):
        if major in brands or (major in _HEIF_BRANDS and others & brands):
            return name
    return "HEIC" if major in _HEIF_BRANDS else None


def webp_canvas(beginning: bytes) -> tuple[int, int] | None:
    """Return width and height as a WebP's first 30 bytes give them, None if they do not; RFC 9649, 2.5 to 2.7."""
    chunk, fields = beginning[12:16], beginning[20:30]
    if len(fields) < 10:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(fields[4:7], "little") + 1, int.from_bytes(fields[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(fields[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return int.from_bytes(fields[6:8], "little") & 0x3FFF, int.from_bytes(fields[8:10], "little") & 0x3FFF
    return None
