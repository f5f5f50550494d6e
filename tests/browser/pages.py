"""Reports of any size to look at, with names that strangers might give."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from PIL import Image

from tests.unit.fakes import NOON, batch_of, job
from tests.unit.test_summary import SOURCE
from worker.errors import RejectReason
from worker.extract import Extract, FailedRow
from worker.images.preview import PreviewSpec, preview_of
from worker.jobs.report.blocks import Blocks, preview_spec
from worker.jobs.report.page import add_creator, write_report
from worker.jobs.summary import Rejects, Tally, summary_top
from worker.keys import collage_key
from worker.model import CreatorRecord, CreatorStatus, Reject

PHOTOS = sorted((Path(__file__).parents[2] / "samples/photos").glob("*.jpg"))

HOSTILE = (
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "<!--<script>",
    "]]><svg/onload=document.title='taken'>",
    "\u202eturned around",
    "\u2066isolated",
    "z" + "\u0301\u0316\u0489" * 60 + "algo",
    "x" * 10_000,
    "no-break-\u00a0" * 500,
    "=cmd|' /C calc'!A0",
    "{{7*7}}{% raw %}",
    "$& $1 {} %s",
    "'\"`&lt;",
    "\ud800 alone",
    "\x00\x1b[31mred",
    "مرحبا بالعالم",
    "王小明",
    "__proto__",
    "constructor",
    "line\nfeed",
    "javascript:document.title='taken'",
)

SIGNATURE = "SECRETsignature0123"


@dataclass(frozen=True, slots=True)
class Made:
    """A report and what is in it."""

    page: bytes
    names: Sequence[str]
    pages: Sequence[int]
    """Collages of each creator."""
    failed: int
    """Rows that were no duplicates."""


def report_of(creators: int, *, status: str = "completed", seed: int = 1, names: Sequence[str] = HOSTILE) -> Made:
    """Make a report: every 25th creator has no collage, every fourth several pages, two of five failed images."""
    chance = random.Random(seed)
    pictures = _pictures(preview_spec(creators), chance)
    tally = Tally(creators_total=creators, rows_total=creators * 36, rejects_total=3)
    all_names = [*names[:creators], *(_name(chance, number) for number in range(len(names), creators))]
    pages: list[int] = []
    failed = 0
    with Blocks() as blocks, io.BytesIO() as file:
        for number, name in enumerate(all_names):
            record = _record(chance, number, name, pictures)
            tally.add(record)
            pages.append(len(record.collage_keys))
            failed += record.error_count - record.errors.get("duplicate", 0)
            add_creator(blocks, record, "")
        took = timedelta(seconds=creators * 0.4 + 5)
        top = summary_top(batch_of(job()), tally, REJECTS, finished_at=NOON + took, worked=1.0, status=status)
        if status != "completed":
            top["warnings"] = [f"The batch was {status}; this is what was done by then."]
        write_report(file, top, blocks)
        return Made(file.getvalue(), all_names, pages, failed)


REJECTS = Rejects(
    {RejectReason.NO_URL: 2, RejectReason.BAD_SCHEME: 1},
    [
        Reject(7, RejectReason.NO_URL, "the URL is missing"),
        Reject(9, RejectReason.NO_URL, "the URL is missing"),
        Reject(12, RejectReason.BAD_SCHEME, "got 'ftp://</script>'; allowed are http and https"),
    ],
    {**SOURCE, "repairs": {"html_escapes": 4}},
)


def _name(chance: random.Random, number: int) -> str:
    return f"{chance.choice(['dance', 'food', 'cats', 'travel', '旅行'])}.{chance.randrange(10**6):06d}_{number}"


def _record(chance: random.Random, number: int, name: str, pictures: Sequence[bytes]) -> CreatorRecord:
    pages = 0 if number % 25 == 24 else 3 if number % 4 == 3 else 1
    reasons = ("expired", "not_found", "timeout", "forbidden", "rate_limited", "dns", "too_small", "not_an_image")
    reason = reasons[min(int(chance.expovariate(0.6)), len(reasons) - 1)]
    count = chance.randrange(1, 4) if pages == 0 or chance.random() < 0.4 else 0
    url = f"https://p{chance.randrange(3)}-sign.cdn.example/o/{number}.jpg?x-expires=1700000000&x-signature={SIGNATURE}"
    rows = tuple(FailedRow(number * 36 + row + 2, url, reason, f"the server said {reason}") for row in range(count))
    latencies = tuple(round(chance.lognormvariate(-0.7, 0.5), 3) for _ in range(8))
    keys = [collage_key("", f"{number}", NOON, page=page, extension="jpg") for page in range(1, pages + 1)]
    previews = tuple(pictures[(number + page) % len(pictures)] for page in range(pages))
    return CreatorRecord(
        creator=name,
        status=CreatorStatus.COMPLETED if pages else CreatorStatus.FAILED,
        images_processed=chance.randrange(5, 36) * max(pages, 1) if pages else 0,
        collage_keys=tuple(keys),
        errors={reason: count} if count else {},
        duration=round(chance.expovariate(0.2), 2),
        duplicates=2 if chance.random() < 0.1 else 0,
        extract=Extract(NOON.timestamp() + 4 + number * 0.4 * chance.uniform(0.9, 1), latencies, rows, previews),
    )


def _pictures(spec: PreviewSpec, chance: random.Random) -> list[bytes]:
    """Return some collages of the sample photos, small."""
    cells = []
    for path in PHOTOS[:40]:
        with Image.open(path) as photo:
            side = min(photo.size)
            left, top = (photo.width - side) // 2, (photo.height - side) // 2
            cells.append(photo.convert("RGB").crop((left, top, left + side, top + side)).resize((80, 80)))
    pages = []
    for _ in range(12):
        canvas = Image.new("RGB", (560, 400))
        for place in range(35):
            canvas.paste(chance.choice(cells), (place % 7 * 80, place // 7 * 80))
        pages.append(preview_of(canvas, spec))
    return pages
