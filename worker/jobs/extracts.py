"""What a report shows of a creator besides its record: it travels with the record to whoever writes the report."""

import base64
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from worker.extract import Extract, FailedRow
from worker.keys import from_iso
from worker.masks import without_signatures

SHOWN_ROWS = 40
SHOWN_LATENCIES = 60
"""Failed rows and downloads of one creator that go into an extract: reports have no room for more."""

LONGEST_SHOWN = 400
"""Characters of a URL or a message in an extract."""


@dataclass(slots=True)
class ExtractOfRows:
    """Takes in a creator's rows one by one, and gives what a report shows of them."""

    failed: list[FailedRow] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    ended_at: str = ""

    def ended(self, at: str | None) -> None:
        """Note when a row's fate was known (`2025-01-19T12:00:00Z`)."""
        self.ended_at = max(self.ended_at, at or "")

    def failed_row(self, line: int, url: str, reason: str | None, message: str | None) -> None:
        """Note a row that failed."""
        if len(self.failed) < SHOWN_ROWS:
            shown = without_signatures(url)[:LONGEST_SHOWN], reason or "", (message or "")[:LONGEST_SHOWN]
            self.failed.append(FailedRow(line, *shown))

    def download(self, seconds: float) -> None:
        """Note a download that succeeded."""
        if len(self.latencies) < SHOWN_LATENCIES:
            self.latencies.append(seconds)

    def made(self) -> Extract:
        """Return the extract; it has no previews yet."""
        ended_at = from_iso(self.ended_at).timestamp() if self.ended_at else None
        return Extract(ended_at, tuple(self.latencies), tuple(self.failed))


def extract_told(extract: Extract) -> dict[str, Any]:
    """Tell an extract as JSON."""
    return {
        "ended_at": extract.ended_at,
        "latencies": list(extract.latencies),
        "failed": [astuple(row) for row in extract.failed],
        "previews": [base64.b64encode(preview).decode() for preview in extract.previews],
    }


def read_extract(told: Mapping[str, Any]) -> Extract:
    """Read what `extract_told` told."""
    failed = tuple(FailedRow(*row) for row in told["failed"])
    previews = tuple(map(base64.b64decode, told["previews"]))
    return Extract(told["ended_at"], tuple(told["latencies"]), failed, previews)
