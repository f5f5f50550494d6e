"""Unpacking: what comes out, in which pieces, and what is refused."""

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.download.content_codings import PIECE_BYTES, BadCodingError, Unpacker, coding_of

FORMS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def packed(wbits: int, body: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=wbits)
    return squeeze.compress(body) + squeeze.flush()


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("Identity ", ""),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("br", "br"),
        ("gzip, br", "gzip, br"),
    ],
)
def test_a_header_names_a_coding(header: str, coding: str) -> None:
    assert coding_of(header) == coding


@given(
    body=st.binary(max_size=5_000),
    coding=st.sampled_from(["gzip", "deflate", "raw"]),
    cut=st.integers(1, 100),
    more=st.binary(max_size=20),
)
def test_what_was_packed_comes_out_whatever_follows_it(body: bytes, coding: str, cut: int, more: bytes) -> None:
    whole = packed(FORMS.get(coding, -zlib.MAX_WBITS), body) + more
    unpacker = Unpacker("deflate" if coding == "raw" else coding)
    out = [piece for at in range(0, len(whole), cut) for piece in unpacker.feed(whole[at : at + cut])]
    assert b"".join(out) == body
    assert unpacker.is_whole


def test_a_bomb_comes_in_pieces_that_can_be_counted() -> None:
    bomb = packed(FORMS["gzip"], bytes(50_000_000))
    assert len(bomb) < 60_000
    unpacker = Unpacker("gzip")
    pieces = unpacker.feed(bomb)
    assert [len(next(pieces)) for _ in range(3)] == [PIECE_BYTES] * 3
    assert not unpacker.is_whole


@given(noise=st.binary(min_size=1, max_size=200), coding=st.sampled_from(["gzip", "deflate"]))
def test_noise_is_refused_or_comes_to_something(noise: bytes, coding: str) -> None:
    with suppress(BadCodingError):
        assert all(Unpacker(coding).feed(noise))


def test_what_is_only_said_to_be_gzip_is_passed_on() -> None:
    unpacker = Unpacker("gzip")
    assert [*unpacker.feed(b"\xff\xd8"), *unpacker.feed(b"\xff\x1f\x8b")] == [b"\xff\xd8", b"\xff\x1f\x8b"]
    assert unpacker.is_whole


def test_a_coding_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ValueError, match="'br'; readable are gzip, deflate"):
        Unpacker("br")
