"""The bytes of a manifest: undoes gzip, bounds the size, and refuses what is no table.

Every pass over the file starts at its beginning and holds one piece of it, so memory does not grow with its length.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from worker.errors import JobReason, TerminalError

MAX_BYTES = 100 * 1024**3
"""Bytes of a manifest, decompressed, unless the caller says otherwise: about 500 million rows."""

BOMB_BYTES = 1024**3
MOST_INFLATED = 100
"""How many times larger than its compressed file a manifest may be, if it has more than `BOMB_BYTES`. A CSV of links is
5 to 20 times larger, and gzip reaches 1,032 at most."""

PIECE = 256 * 1024
"""Bytes that are read and decoded at a time."""

GZIP_MAGIC = b"\x1f\x8b"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF; export the table as CSV"),
    (b"{\\rtf", "an RTF document; save the table as CSV"),
    (b"PK\x05\x06", "an empty zip; compress the CSV with gzip"),
    (b"\x89PNG", "a PNG image; a manifest lists the URLs of images"),
    (b"\xff\xd8\xff", "a JPEG image; a manifest lists the URLs of images"),
    (b"GIF87a", "a GIF image; a manifest lists the URLs of images"),
    (b"GIF89a", "a GIF image; a manifest lists the URLs of images"),
    (b"RIFF", "a RIFF file such as a WebP image; a manifest lists the URLs of images"),
    (b"PAR1", "a Parquet file; export it as CSV"),
    (b"Obj\x01", "an Avro file; export it as CSV"),
    (b"ARROW1\0\0", "an Arrow or Feather file; export it as CSV"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; export the table as CSV"),
    (b"\x93NUMPY", "an array of NumPy; export it as CSV"),
    (b"\x80\x04\x95", "a pickle of Python; export it as CSV"),
    (b"\x80\x05\x95", "a pickle of Python; export it as CSV"),
    (b"bplist00", "a property list; export the table as CSV"),
    (b"ID;PWXL;", "a SYLK file (.slk); open it in a spreadsheet and save it as CSV"),
    (b"TABLE\r\n0,1", "a DIF file; open it in a spreadsheet and save it as CSV"),
    (b"MIME-Version:", "a web page that is saved as one file (.mht); save the table as CSV"),
    (b"SQLite format 3\x00", "an SQLite database; export the table as CSV"),
    (b"BZh91AY&SY", "compressed with bzip2; use gzip, or none"),
    (b"\xfd7zXZ", "compressed with xz; use gzip, or none"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; use gzip, or none"),
    (b"\x04\x22\x4d\x18", "compressed with lz4; use gzip, or none"),
    (b"\x1f\x9d", "compressed with compress (.Z); use gzip, or none"),
    (b"\x5d\0\0", "compressed with lzma; use gzip, or none"),
    (b"\xff\x06\0\0sNaPpY", "compressed with Snappy; use gzip, or none"),
    (b"7z\xbc\xaf", "a 7z archive; compress the CSV with gzip, or not at all"),
    (b"Rar!", "a RAR archive; compress the CSV with gzip, or not at all"),
    (GZIP_MAGIC, "compressed with gzip twice; compress it once"),
    (codecs.BOM_UTF32_LE, "UTF-32 text; save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "UTF-32 text; save it as UTF-8"),
)
"""What a manifest begins with when it is something else (after gzip is undone)."""

_OFFICE_97 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE_97_KINDS: tuple[tuple[str, str], ...] = (
    ("EncryptedPackage", "a workbook with a password; save it without one, or the sheet as CSV"),
    ("WordDocument", "a Word document (.doc); save the table as CSV"),
    ("", "an old Excel workbook (.xls), or one with a password; save it as .xlsx without one, or the sheet as CSV"),
)
"""What Office 97 began all its files with, and what a name in them tells."""

_MARKUP = re.compile(rb"<[a-zA-Z!?/]")


def not_csv(what: str) -> TerminalError:
    """Build the error for a manifest that is `what` instead of a table."""
    return TerminalError(JobReason.MANIFEST_NOT_CSV, f"the manifest cannot be read as a table: it is {what}")


def inline_bytes(text: str) -> bytes:
    """Turn the CSV text of a message into the bytes of a manifest, with a mark that says UTF-8.

    JSON can hold a lone surrogate. It becomes bytes that are not UTF-8, and its line is a reject.
    """
    return codecs.BOM_UTF8 + text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")


def read_pieces(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Read the manifest from its beginning, gzip (of one or several members) undone.

    Raises `TerminalError`: `manifest_too_large` where it is longer than `max_bytes`, or than its compressed size
    allows; `manifest_not_csv` for broken gzip.
    """
    file.seek(0)
    zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if zipped:
        max_bytes = min(max_bytes, max(BOMB_BYTES, MOST_INFLATED * file.seek(0, io.SEEK_END)))
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file, mode="rb") if zipped else file
    total = 0
    while piece := _read_piece(stream):
        total += len(piece)
        if total > max_bytes:
            raise TerminalError(
                JobReason.MANIFEST_TOO_LARGE,
                f"the manifest is longer than {max_bytes} bytes{' when decompressed' if zipped else ''}, "
                f"which is all that is allowed{' for its size' if zipped else ''}; split it",
            )
        yield piece


def _read_piece(stream: BinaryIO | gzip.GzipFile) -> bytes:
    try:
        return stream.read(PIECE)
    except EOFError as error:
        raise not_csv("a gzip file that ends too early; upload it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise not_csv(f"a gzip file that is corrupt ({error}); upload it again") from error


def refuse_other_formats(beginning: bytes, *, encoding: str | None = None) -> None:
    """Look at the first bytes (gzip undone) for what is no manifest, whose `encoding` may be known.

    Raises `TerminalError` (`manifest_not_csv`).
    """
    for magic, what in _MAGIC:
        if beginning.startswith(magic):
            raise not_csv(what)
    if beginning.startswith(_OFFICE_97):
        raise not_csv(next(what for name, what in _OFFICE_97_KINDS if name.encode("utf-16-le") in beginning))
    if beginning[257:262] == b"ustar":
        raise not_csv("a tar archive; take the table out of it, and compress it with gzip or not at all")
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = beginning[:1024].decode("utf-16", "replace").lstrip().encode()
    elif 0 in beginning[:4] and encoding is None:
        raise not_csv("UTF-16 text without a byte order mark, or binary; save it as UTF-8, or name its encoding")
    if _MARKUP.match(text):
        raise not_csv("HTML or XML, perhaps an error page that was saved as a file; export the table as CSV")
