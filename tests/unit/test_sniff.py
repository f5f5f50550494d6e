"""What an image is, is told from its first bytes."""

import pytest

from worker.images.sniff import sniffed_format


def ftyp(major: bytes, *others: bytes, size: int | None = None) -> bytes:
    content = major + bytes(4) + b"".join(others)
    return (8 + len(content) if size is None else size).to_bytes(4) + b"ftyp" + content + b"avifheic"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (ftyp(b"avif", b"mif1"), "AVIF"),
        (ftyp(b"avis", b"msf1"), "AVIF"),
        (ftyp(b"mif1", b"avif"), "AVIF"),
        (ftyp(b"heic", b"mif1"), "HEIC"),
        (ftyp(b"heix"), "HEIC"),
        (ftyp(b"hevc", b"msf1"), "HEIC"),
        (ftyp(b"mif1", b"heic"), "HEIC"),
        (ftyp(b"msf1", b"mif1", b"hevc"), "HEIC"),
        (ftyp(b"mif1"), "HEIC"),
        (ftyp(b"mif1", b"jpeg"), "HEIC"),
        (ftyp(b"mif1", size=0xFFFF_FFFF), "AVIF"),
        (ftyp(b"isom", b"avif"), None),
        (ftyp(b"mp42", b"isom"), None),
        (ftyp(b"qt  "), None),
        (b"\0\0\0\x08ftyp", None),
    ],
)
def test_brands_tell_what_the_container_holds(head: bytes, name: str | None) -> None:
    assert sniffed_format(head) == name
