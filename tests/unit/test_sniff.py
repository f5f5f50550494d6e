"""What an image is, is told from its first bytes, and sometimes from fewer than there will be."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.images.sniff import could_be_image, sniffed_format


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


BEGINNINGS = {
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "GIF": b"GIF89a\x01\x00\x01\x00",
    "WEBP": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "AVIF": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif",
    "HEIC": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
    "BMP": b"BM" + bytes(12) + b"\x28\0\0\0",
    "TIFF": b"II*\0" + bytes(8),
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "PDF": b"%PDF-1.7\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "SVG behind a comment": b"\xef\xbb\xbf \n<?xml version='1.0'?>\n<!-- " + b"x" * 300 + b" -->\n<svg width='1'>",
    "SVG behind a document type": b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' ''>\n<svg>",
    "SVG behind white space": b" " * 900 + b"<svg>",
}
NO_IMAGES = {
    "a web page": b"<!DOCTYPE html><html><head><title>Not found</title></head></html>",
    "a web page in capitals": b"\r\n  <HTML><HEAD><TITLE>403 Forbidden</TITLE></HEAD><BODY></BODY></HTML>",
    "JSON": b'{"error": {"code": 403, "message": "the signature does not match"}}',
    "XML": b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    "text": b"Not Found. The requested URL was not found on this server.",
    "zeros": bytes(64),
    "a zip": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(40)),
    "a film": struct.pack(">I", 32) + b"ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(40),
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(range(40)),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_an_image_may_be_one_however_little_of_it_has_come(name: str) -> None:
    whole = BEGINNINGS[name] + bytes(1_100)
    assert sniffed_format(whole) is not None
    assert all(could_be_image(whole[:length]) for length in range(len(whole)))


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_told_by_its_first_bytes(name: str) -> None:
    assert not could_be_image(NO_IMAGES[name])


def test_markup_that_goes_on_and_on_is_no_image_in_the_end() -> None:
    comment = b"<!-- " + b"x" * 2_000
    assert could_be_image(comment[:1_000])
    assert not could_be_image(comment[:1_024])


@given(whole=st.sampled_from([*BEGINNINGS.values(), b""]), tail=st.binary(max_size=60), length=st.integers(0, 400))
def test_nothing_that_turns_out_to_be_an_image_was_called_none_before(whole: bytes, tail: bytes, length: int) -> None:
    body = whole + tail
    if sniffed_format(body) is not None:
        assert could_be_image(body[:length])
