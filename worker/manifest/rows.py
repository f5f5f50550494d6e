"""Which records of a source are rows, and why the others are not.

One loop sees every record of every manifest; ten million records take about a minute. In this loop, a record that is
plainly a row passes by checks that each look for one character. All other records are looked at closely.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.errors import RejectReason
from worker.manifest.columns import Columns, plain_name
from worker.manifest.rules import MAX_CREATOR_BYTES, MAX_URL, judge_url, judged_creator
from worker.manifest.source import Source
from worker.manifest.values import EDGES, cover_url, has_value
from worker.model import Reject

BLOCK = 2_048
"""Records of one block."""

SURE_OF_WIDTH = 3
"""Records of one width that show how wide all of them are."""

_ANY_ENCODING = MAX_CREATOR_BYTES // 4  # characters that fit whatever they are: UTF-8 has at most 4 bytes for each
_ONE_URL = re.compile(r"https?://(?:(?!https?://)\S)+", re.IGNORECASE)
_WHOLE_URL = re.compile(  # it ends as a picture's path does, or with a signature
    r"[^?#]*\.(?:jpe?g|png|webp|gif|heic|avif|image)|.*[?&][\w-]*(?:sign?|signature)=[^&]{4,}", re.IGNORECASE
)
_REST_OF_URL = re.compile(r"[^\s/=&%?~.]*(?:[/=&%?~]\S*|\.[A-Za-z]\S*)")
_SCHEMES = frozenset({"http://", "https:/"})


class Entry(NamedTuple):
    """A usable record: its creator's key (the same for all Unicode forms of a name), its line, and its URL.

    Most entries are plain tuples of this shape: to make millions of named tuples would take a tenth of the time.
    """

    creator: str
    line: int
    url: str


@dataclass(slots=True)
class LineBlock:
    """Some consecutive records of a manifest, the usable ones and the others, each in file order.

    `names` has the entries again whose creator is written in another form than its key: key, line, name as written.
    """

    entries: list[tuple[str, int, str]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    names: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What one pass over a manifest has met besides rows and rejects."""

    repairs: Counter[str] = field(default_factory=Counter)
    empty_lines: int = 0
    repeated_headers: int = 0


class Rows:
    """One pass over the records of a source. `group` is the one group of all rows, where there is no creator column."""

    def __init__(self, source: Source, columns: Columns, group: str | None) -> None:
        self.counts = Counts()
        self._source = source
        self._columns = columns
        self._group = group or ""
        self._header = [plain_name(name) for name in source.header]
        widths = [len(record) for record in source.sample]
        self._usual_width = widths[0] if len(widths) >= SURE_OF_WIDTH and len(set(widths)) == 1 else None
        self._width = max((at for at, name in enumerate(self._header, 1) if name), default=0)

    def blocks(self) -> Iterator[LineBlock]:
        """Give rows and rejects, in file order, a few thousand at a time; complete `counts` at the end."""
        url_at, creator_at, width = self._columns.url, self._columns.creator or 0, len(self._header)
        if self._width < width or self._columns.creator is None:
            width = -1  # no record has this width: all are looked at closely
        records = iter(self._source.records())
        more = True
        while more:
            more = False
            block = LineBlock()
            rejects, add = block.rejects, block.entries.append
            for item in itertools.islice(records, BLOCK):
                more = True
                if isinstance(item, Reject):
                    rejects.append(item)
                    continue
                line, fields = item
                if (
                    len(fields) == width
                    and (url := fields[url_at])[:7] in _SCHEMES
                    and url.isascii()
                    and len(url) <= MAX_URL
                    # One character is looked for at a time: that is 20 times faster than two, or a pattern.
                    and url[-1] > " "
                    and "\\" not in url
                    and ";" not in url  # every escape of HTML ends in one
                    and " " not in url
                    and "\n" not in url
                    and "\t" not in url
                    and "\r" not in url
                    and (("," not in url and "|" not in url) or url.find("://", 8) < 0)  # else it is a list
                ):
                    creator = fields[creator_at]
                    if (
                        (creator.isidentifier() or creator.replace(".", "_").isidentifier())
                        and creator.isascii()
                        and len(creator) <= _ANY_ENCODING
                        and (creator[0] not in "nNuU" or has_value(creator))
                    ):
                        add((creator, line, url))
                    else:
                        self._add(block, line, creator, url)
                else:
                    self._look_closely(block, line, fields)
            if block.entries or rejects:
                yield block

    def _add(self, block: LineBlock, line: int, creator: str, url: str) -> bool:
        """Add a record whose URL is good, as a row or a reject; returns whether it is a row."""
        if self._columns.creator is None:
            block.entries.append((self._group, line, url))
            return True
        key, name, problem = judged_creator(creator)
        if problem is not None:
            block.rejects.append(Reject(line, *problem))
            return False
        block.entries.append((key, line, url))
        if key != name:
            block.names.append((key, line, name))
        return True

    def _look_closely(self, block: LineBlock, line: int, fields: Sequence[str]) -> None:
        """Add a record to the block, or count it where it is none."""
        columns = self._columns
        given, joined = _field(fields, columns.url), False
        if len(fields) > self._width and self._has_too_many(fields):
            rest = self._joined(fields)
            if rest is None:
                block.rejects.append(Reject(line, RejectReason.EXTRA_FIELDS, self._too_many(fields)))
                return
            given, joined = rest, True
        url, repairs = cover_url(given)
        problem = judge_url(url)
        if problem is not None:
            if not self._is_no_record(fields):
                block.rejects.append(Reject(line, *problem))
        elif self._add(block, line, _field(fields, columns.creator or 0), url):
            self.counts.repairs.update(repairs)
            if joined:
                self.counts.repairs["unquoted_delimiters"] += 1

    def _has_too_many(self, fields: Sequence[str]) -> bool:
        """Say whether a line that is longer than the header holds more than the header names.

        Empty fields at the end are no harm, unless they may come from a URL that was cut at its delimiters: where what
        follows it looks like the rest of one. Of a URL that looks whole this needs another sign: not every line is as
        long.
        """
        if any(cell.strip(EDGES) for cell in fields[self._width :]):
            return True
        if len(fields) == len(self._header):
            return False
        url, follows = (_field(fields, at).strip(EDGES) for at in (self._columns.url, self._columns.url + 1))
        if _WHOLE_URL.fullmatch(url):
            return len(fields) != self._usual_width and _REST_OF_URL.fullmatch(follows) is not None
        return follows != "" and not any(map(str.isspace, follows)) and follows[:7].lower() not in _SCHEMES

    def _is_no_record(self, fields: Sequence[str]) -> bool:
        """Say whether a record is an empty line or the header once more, and count it as such."""
        if not any(cell.strip(EDGES) for cell in fields):
            self.counts.empty_lines += 1
            return True
        columns = [at for at in self._columns if at is not None]
        if all(plain_name(_field(fields, at)) == self._header[at] for at in columns):
            self.counts.repeated_headers += 1
            return True
        return False

    def _joined(self, fields: Sequence[str]) -> str | None:
        """Join a URL again that was cut at its delimiters, where its column is the last; None where that is no URL."""
        last = self._columns.url == self._width - 1 == len(self._header) - 1
        rest = (self._source.delimiter or "").join(fields[self._columns.url :]).strip(EDGES)
        return rest if last and len(rest) <= MAX_URL and _ONE_URL.fullmatch(rest) else None

    def _too_many(self, fields: Sequence[str]) -> str:
        filled = sum(1 for cell in fields if cell.strip(EDGES))
        return (
            f"the line has {filled} filled fields and the header {sum(map(bool, self._header))}; put a field that "
            "holds a delimiter in quotes, or give the column a name"
        )


def _field(fields: Sequence[str], at: int) -> str:
    return fields[at] if at < len(fields) else ""
