"""From the bytes of a manifest to its text: what it must not be, gzip, size and encoding.

Every pass over the file starts at its beginning and holds one piece of it, so memory does not grow with its length.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import JobReason, TerminalError

MAX_BYTES = 100 * 1024**3
"""Bytes of a manifest, decompressed, unless the caller says otherwise: some 500 million rows. The disk ends before."""

BOMB_BYTES = 1024**3
MOST_INFLATED = 100
"""Times its compressed size that a manifest of more than `BOMB_BYTES` may have. CSVs of links come to 5 to 20, and no
file of gzip's to more than 1,032; below `BOMB_BYTES` a bomb is not worth its name."""

PIECE = 256 * 1024
"""Bytes that are read and decoded at a time."""

GZIP_MAGIC = b"\x1f\x8b"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF; export the table as CSV"),
    (b"PK\x03\x04", "a zip or an Excel workbook (.xlsx); save the sheet as CSV, or compress the CSV with gzip"),
    (b"PK\x05\x06", "an empty zip; compress the CSV with gzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls); save the sheet as CSV"),
    (b"\x89PNG", "a PNG image; a manifest lists the URLs of images"),
    (b"\xff\xd8\xff", "a JPEG image; a manifest lists the URLs of images"),
    (b"GIF8", "a GIF image; a manifest lists the URLs of images"),
    (b"RIFF", "a RIFF file such as a WebP image; a manifest lists the URLs of images"),
    (b"PAR1", "a Parquet file; export it as CSV"),
    (b"Obj\x01", "an Avro file; export it as CSV"),
    (b"SQLite format 3\x00", "an SQLite database; export the table as CSV"),
    (b"BZh", "compressed with bzip2; use gzip, or none"),
    (b"\xfd7zXZ", "compressed with xz; use gzip, or none"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; use gzip, or none"),
    (b"7z\xbc\xaf", "a 7z archive; compress the CSV with gzip, or not at all"),
    (b"Rar!", "a RAR archive; compress the CSV with gzip, or not at all"),
    (GZIP_MAGIC, "compressed with gzip twice; compress it once"),
    (codecs.BOM_UTF32_LE, "UTF-32 text; save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "UTF-32 text; save it as UTF-8"),
)
"""What a manifest begins with when it is something else (after gzip is undone)."""

_TEXT_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"<", "HTML or XML, perhaps an error page that was saved as a file; export the table as CSV"),
    (b"{", "JSON; export the table as CSV"),
    (b"[", "JSON; export the table as CSV"),
)

_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A manifest's encoding. Where it is `damaged`, bytes that are no text in it are read as U+FFFD."""

    codec: str
    damaged: bool


def not_csv(what: str) -> TerminalError:
    """Build the error for a manifest that is `what` instead of a CSV."""
    return TerminalError(JobReason.MANIFEST_NOT_CSV, f"the manifest is not a CSV: it is {what}")


def inline_bytes(text: str) -> bytes:
    """Turn the CSV text of a message into manifest bytes that say themselves that they are UTF-8.

    A lone surrogate, which JSON can carry, becomes bytes that are no UTF-8, and is refused where it matters.
    """
    return codecs.BOM_UTF8 + text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")


def read_pieces(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Read the manifest from its beginning, gzip (of one or several members) undone.

    Raises `TerminalError`: `manifest_too_large` beyond `max_bytes` decompressed and for what was compressed beyond
    belief, `manifest_not_csv` for broken gzip.
    """
    file.seek(0)
    zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if zipped:
        max_bytes = min(max_bytes, max(BOMB_BYTES, MOST_INFLATED * file.seek(0, io.SEEK_END)))
    file.seek(0)
    source = gzip.GzipFile(fileobj=file, mode="rb") if zipped else file
    total = 0
    while piece := _read_piece(source):
        total += len(piece)
        if total > max_bytes:
            raise TerminalError(
                JobReason.MANIFEST_TOO_LARGE,
                f"the manifest is longer than {max_bytes} bytes{' when decompressed' if zipped else ''}, "
                f"which is all that is allowed{' for its size' if zipped else ''}; split it",
            )
        yield piece


def _read_piece(source: BinaryIO | gzip.GzipFile) -> bytes:
    try:
        return source.read(PIECE)
    except EOFError as error:
        raise not_csv("a gzip file that ends too early; upload it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise not_csv(f"a gzip file that is corrupt ({error}); upload it again") from error


def detect_encoding(file: BinaryIO, max_bytes: int) -> Encoding:
    """Tell the encoding: a BOM's, else UTF-8, else GB18030, else UTF-8 with damage.

    Reads the whole manifest, once for each candidate, so broken gzip and size are told before anything is planned.
    Raises `TerminalError`: `manifest_not_csv` for what is no text, and what `read_pieces` raises.
    """
    head = next(read_pieces(file, max_bytes), b"")
    _refuse_other_formats(head)
    candidates = [codec for bom, codec in _BOMS if head.startswith(bom)] or ["utf-8", "gb18030"]
    valid = next((codec for codec in candidates if _is_valid(file, codec, max_bytes)), None)
    return Encoding(valid or candidates[0], damaged=valid is None)


def _refuse_other_formats(head: bytes) -> None:
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise not_csv(what)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = head[:1024].decode("utf-16", "replace").lstrip().encode()
    elif 0 in head[:4]:
        raise not_csv("UTF-16 text without a byte order mark, or binary; save it as UTF-8")
    for start, what in _TEXT_STARTS:
        if text.startswith(start):
            raise not_csv(what)


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
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding.codec)("replace"), translate=False)
    first = True
    for piece in read_pieces(file, max_bytes):
        text = decoder.decode(piece)
        yield text.lstrip("\ufeff") if first else text  # GB18030's mark, and one that was written twice
        first = False
    yield decoder.decode(b"", final=True)
