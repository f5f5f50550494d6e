"""Encodings of text: which one a manifest has, and how it is decoded."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from worker.manifest.bytes import read_pieces

BAD = "\udcff"
"""What stands in the text for bytes that are no character: half a surrogate pair, which no valid text can hold."""

_ON_ERROR = "worker.manifest.bad"
codecs.register_error(_ON_ERROR, lambda error: (BAD, error.end))  # type: ignore[attr-defined]

_BOMS: tuple[tuple[bytes, str, str], ...] = (
    (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A manifest's encoding: its usual `name`, and Python's `codec` for it.

    Where it is `damaged`, some bytes are no text in it; `BAD` stands for them.
    """

    name: str
    codec: str
    damaged: bool


def detect_encoding(file: BinaryIO, max_bytes: int, *, named: str | None = None) -> Encoding:
    """Tell the encoding: a BOM's, else UTF-8, else GB18030, else UTF-8 with damage.

    Reads the whole manifest, once for each candidate, so broken gzip and size are told before anything is planned.
    Raises what `read_pieces` raises.
    """
    head = next(read_pieces(file, max_bytes), b"")
    candidates = [(name, codec) for bom, name, codec in _BOMS if head.startswith(bom)]
    if named is not None:
        candidates = candidates or [(codecs.lookup(named).name, named)]
    candidates = candidates or [("utf-8", "utf-8"), ("gb18030", "gb18030")]
    valid = next((each for each in candidates if _is_valid(file, each[1], max_bytes)), None)
    return Encoding(*(valid or candidates[0]), damaged=valid is None)


def _is_valid(file: BinaryIO, codec: str, max_bytes: int) -> bool:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        for piece in read_pieces(file, max_bytes):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def read_text(file: BinaryIO, encoding: Encoding, max_bytes: int) -> Iterator[str]:
    """Read the manifest as text, with its line ends as they are; no piece ends between the CR and LF of one line end.

    Raises what `read_pieces` raises.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding.codec)(_ON_ERROR), translate=False)
    first = True
    for piece in read_pieces(file, max_bytes):
        text = decoder.decode(piece)
        yield text.lstrip("\ufeff") if first else text  # GB18030's mark, and one that was written twice
        first = False
    yield decoder.decode(b"", final=True)
