"""The text of a manifest: gzip and encoding undone."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from worker.manifest.encodings import Encoding, read_text

BEGINNING = 64 * 1024
"""Characters that are enough to tell one format of text from another."""


@dataclass(frozen=True, slots=True)
class Text:
    """A manifest that is text, in `file`, which stays open as long as it is read."""

    file: BinaryIO
    encoding: Encoding
    max_bytes: int

    def pieces(self) -> Iterator[str]:
        """Give the text from its beginning, in pieces of about 256 KiB, without a byte order mark, line ends kept.

        No piece ends between the CR and LF of one line end. Where `encoding.damaged`, bytes that are no text come as
        `encodings.BAD`, and the line (or record) that holds one is a reject with reason `bad_encoding`. Raises
        `TerminalError` (`manifest_too_large`, `manifest_not_csv`).
        """
        return read_text(self.file, self.encoding, self.max_bytes)

    def beginning(self) -> str:
        """Give the first characters, without the white space before them."""
        return "".join(islice(self.pieces(), 4)).lstrip()[:BEGINNING]
