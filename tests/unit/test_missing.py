"""What a report shows of creators that another worker did is read again from parts and collages."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import BinaryIO

from PIL import Image

from tests.unit.fakes import batch_of, job
from tests.unit.test_summary import ANN
from worker.jobs.part_lines import RowLine, RowOutcome, packed, row_json
from worker.jobs.report.missing import MissingExtracts
from worker.keys import part_key


class Files:
    """Results in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    async def fetch(self, key: str, file: BinaryIO) -> bool:
        file.write(self.files.get(key, b""))
        file.seek(0)
        return key in self.files

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        for key in sorted(self.files):
            if key.startswith(prefix):
                yield key


def collage() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (700, 500), "red").save(file, "JPEG")
    return file.getvalue()


async def test_rows_come_from_the_part_and_previews_from_the_collages() -> None:
    batch = batch_of(job())
    rows = [
        RowLine("ann", 2, "u", RowOutcome.USED, seconds=0.5, page=1, collage_key="a.jpg"),
        RowLine("ann", 3, "https://h/b", RowOutcome.FAILED, "expired", "it ran out"),
    ]
    files = Files(
        {part_key("", batch.id, 1, 1): packed(map(row_json, rows)), "a.jpg": collage(), "a_p2.jpg": b"<html>"}
    )
    (found,) = await MissingExtracts(files, batch, 1).added([replace(ANN, part_key=part_key("", batch.id, 1, 1))])
    assert found.extract is not None
    assert [row.url for row in found.extract.failed] == ["https://h/b"]
    (preview,) = found.extract.previews
    with Image.open(io.BytesIO(preview)) as picture:
        assert 100 < picture.width < 700


async def test_where_all_is_gone_the_record_alone_is_shown() -> None:
    (found,) = await MissingExtracts(Files({}), batch_of(job()), 1).added([replace(ANN, extract=None)])
    assert found == ANN
