"""Bodies that a server has packed although nobody asked for it: gzip and deflate are unpacked, piece by piece. Pure.

Whoever reads the pieces counts them, and stops when they are too many: a gigabyte of zeros packs into a megabyte.
"""

import zlib
from collections.abc import Iterator
from typing import Final

PIECE_BYTES: Final = 1 << 18
"""Bytes that are unpacked at a time, so that nothing else has to wait for long."""

READABLE: Final = ("gzip", "deflate")

_SYNONYMS = {"identity": "", "x-gzip": "gzip"}
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class BadCodingError(Exception):
    """The body is not what its Content-Encoding says."""


def coding_of(content_encoding: str) -> str:
    """Return the one coding that a Content-Encoding header names, "" for none (RFC 9110, 8.4.1)."""
    if not content_encoding:
        return ""
    coding = content_encoding.strip().lower()
    return _SYNONYMS.get(coding, coding)


class Unpacker:
    """Unpacks one body, in the coding that its first byte shows it to have."""

    def __init__(self, coding: str) -> None:
        if coding not in READABLE:
            raise ValueError(f"the coding is {coding!r}; readable are {', '.join(READABLE)}")
        self._coding = coding
        self._began = False
        self._stream: zlib._Decompress | None = None

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Unpack the next bytes of the body (at least one). Raises BadCodingError for what cannot be unpacked."""
        if not self._began:
            self._began = True
            self._stream = self._stream_for(packed[0])
        if self._stream is None:
            yield packed
            return
        while packed and not self._stream.eof:  # what follows the end is left out, as browsers do
            try:
                piece = self._stream.decompress(packed, PIECE_BYTES)
            except zlib.error:
                raise BadCodingError(
                    f"it cannot be unpacked as {self._coding}, which its Content-Encoding says"
                ) from None
            packed = self._stream.unconsumed_tail
            if piece:
                yield piece

    @property
    def is_whole(self) -> bool:
        """Whether the end of what was packed has come."""
        return self._stream is None or self._stream.eof

    def _stream_for(self, first: int) -> "zlib._Decompress | None":
        if self._coding == "gzip":
            # Some servers say gzip of files that are as they were: no image begins like gzip.
            return zlib.decompressobj(_GZIP) if first == 0x1F else None
        # "deflate" is the zlib format, and from some servers what is inside of it (RFC 9110, 8.4.1.2).
        return zlib.decompressobj(_ZLIB if first & 0x0F == 8 and first >> 4 <= 7 else _RAW)
