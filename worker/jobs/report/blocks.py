"""What a page holds of a batch: creators, previews and failed rows, each in a file of its own until it is written.

Memory does not grow with the batch, and the page stays below `PAGE_BYTES`: it tells how much it has no room for.
"""

import base64
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Self

from worker.errors import ImageReason
from worker.extract import FailedRow, PreviewSpec
from worker.images.preview import head_and_scan
from worker.jobs.report.timeline import Timeline
from worker.masks import visible, without_signatures
from worker.model import CreatorRecord

CREATORS = 10_000
"""Creators that a page holds; of further ones, those without a collage."""

FURTHER_CREATORS = 2_000

CREATOR_BYTES = 5_000_000
ROW_BYTES = 3_000_000
"""Bytes that the creators, and the failed rows, of a page may take."""

PAGE_BYTES = 19_500_000
"""Bytes that a page's blocks may take in all; previews get what the rest leaves."""

ROWS_OF_A_REASON = 5_000
FEW_ROWS = 100
"""So many rows of each reason have room, however many there are of the others."""

BLOCK = 100
"""Creators in one block: a browser reads a block of previews when it shows one of them."""

LONGEST_NAME, LONGEST_URL, LONGEST_TEXT = 120, 300, 200
"""Characters; what is longer is cut."""

SIZES = ((50, PreviewSpec(225_000, 60)), (500, PreviewSpec(56_000, 50)), (2_000, PreviewSpec(18_000, 40)))
SMALLEST = PreviewSpec(5_200, 35)


def preview_spec(creators: int, *, before: int = 0) -> PreviewSpec | None:
    """Return how large previews are in a batch of so many creators, so that all of them have room in the page.

    None for creators that stand behind `before` others and have no room any more.
    """
    if before >= CREATORS:
        return None
    return next((spec for most, spec in SIZES if creators <= most), SMALLEST)


class Spill:
    """Lines of JSON in a temporary file. They are safe inside a `<script>` element."""

    def __init__(self, stack: ExitStack) -> None:
        self._file = stack.enter_context(tempfile.TemporaryFile(prefix="report-"))  # noqa: SIM115 -- the stack closes it
        self.bytes = 0
        self.count = 0

    def add(self, item: object) -> None:
        """Keep one item."""
        line = in_script(item).encode("utf-8", "backslashreplace") + b"\n"
        self._file.write(line)
        self.bytes += len(line)
        self.count += 1

    def lines(self) -> Iterator[str]:
        """Give the items, each as JSON."""
        self._file.seek(0)
        for line in self._file:
            yield line[:-1].decode()


class Blocks:
    """Takes in the creators of a batch one after the other; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._creators, self._previews = Spill(self._stack), Spill(self._stack)
        self._rows: dict[str, Spill] = {}
        self._heads: dict[bytes, int] = {}
        self.timeline = Timeline()
        self.duplicates = 0
        """Images that were left out as repeats."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stack.close()

    @property
    def creators(self) -> int:
        """Creators that the page holds."""
        return self._creators.count

    @property
    def rows(self) -> int:
        """Failed rows that the page holds."""
        return sum(spill.count for spill in self._rows.values())

    def add(self, record: CreatorRecord, pages: Sequence[str]) -> None:
        """Take in a creator. `pages` are the links to its collages, from the report's folder."""
        errors = {shown(why, LONGEST_NAME): n for why, n in record.errors.items() if why != ImageReason.DUPLICATE}
        self.duplicates += record.duplicates + record.errors.get(ImageReason.DUPLICATE, 0)
        extract = record.extract
        if self._has_room(has_collage=bool(pages)):
            name, seconds = shown(record.creator, LONGEST_NAME), round(record.duration, 1)
            self._creators.add([name, record.images_processed, errors, list(pages), seconds, record.mode])
            self._previews.add([self._told(preview) for preview in extract.previews] if extract else [])
        if extract is None:
            return
        for row in extract.failed:
            self._add_row(record.creator, row)
        if extract.ended_at is not None:
            self.timeline.add(
                extract.ended_at,
                creators=1,
                images=record.images_processed,
                failures=errors,
                latencies=extract.latencies,
            )

    def _has_room(self, *, has_collage: bool) -> bool:
        most = CREATORS if has_collage else CREATORS + FURTHER_CREATORS
        return self._creators.count < most and self._creators.bytes < CREATOR_BYTES

    def _add_row(self, creator: str, row: FailedRow) -> None:
        spill = self._rows.get(row.reason)
        if spill is None:
            spill = self._rows[row.reason] = Spill(self._stack)
        taken = sum(other.bytes for other in self._rows.values())
        if spill.count >= FEW_ROWS and (taken >= ROW_BYTES or spill.count >= ROWS_OF_A_REASON):
            return
        url, message = without_signatures(row.url), without_signatures(row.message)
        spill.add([shown(creator, LONGEST_NAME), row.line, shown(url, LONGEST_URL), shown(message, LONGEST_TEXT)])

    def creator_blocks(self) -> Iterator[str]:
        """Give the creators as arrays of JSON: name, images, failures by reason, pages, seconds, mode."""
        return _arrays(self._creators.lines())

    def preview_blocks(self) -> Iterator[str]:
        """Give for each block of creators its previews: the number of its head, a colon, the rest in base64."""
        room = PAGE_BYTES - self._creators.bytes - sum(spill.bytes for spill in self._rows.values())
        return _arrays(_fairly(self._previews.lines(), room, self._previews.count))

    def row_blocks(self) -> Iterator[tuple[str, str]]:
        """Give for each reason its rows as an array of JSON: creator, line, URL, message."""
        for reason, spill in sorted(self._rows.items()):
            yield reason, f"[{','.join(spill.lines())}]"

    def heads(self) -> str:
        """Return the beginnings of the previews' files as an array of JSON."""
        return in_script([base64.b64encode(head).decode() for head in self._heads])

    def _told(self, preview: bytes) -> str:
        head, scan = head_and_scan(preview)
        # What is joined again must be whole groups of three bytes on both sides.
        head, scan = head[: len(head) - len(head) % 3], head[len(head) - len(head) % 3 :] + scan
        number = self._heads.setdefault(head, len(self._heads))
        return f"{number}:{base64.b64encode(scan).decode()}"


def in_script(value: object) -> str:
    """Write JSON that cannot end the script element around it, whatever is in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def shown(text: str, longest: int) -> str:
    """Return a text as a page shows it: cut, and with what turns or steers the text around it written out."""
    told = visible(text if len(text) <= longest else text[: longest - 1] + "…")
    return told.encode("utf-8", "backslashreplace").decode()


def _arrays(lines: Iterable[str]) -> Iterator[str]:
    lines = iter(lines)
    while some := list(islice(lines, BLOCK)):
        yield f"[{','.join(some)}]"


def _fairly(lines: Iterable[str], room: int, count: int) -> Iterator[str]:
    """Give each creator its share of the room: all of its previews, else the first, else none."""
    used = 0
    for number, line in enumerate(lines, start=1):
        share = room * number // count - used
        first = line.partition('","')[0].removesuffix('"]') + '"]'
        given = next((one for one in (line, first) if len(one) < share), "[]")
        used += len(given) + 1
        yield given
