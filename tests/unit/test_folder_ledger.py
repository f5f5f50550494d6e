"""What is known of the one batch of `process`."""

from pathlib import Path

from tests.unit.fakes import batch_of, job
from worker.cli.folder_ledger import FolderLedger
from worker.cli.safe_folder import SafeFolder
from worker.model import Asked, BatchRecord, BatchState, CreatorRecord, CreatorStatus

ASKED = Asked("digest", "{}", part_creators=50)


async def taken(folder: Path, asked: Asked = ASKED) -> BatchRecord:
    ledger = FolderLedger(SafeFolder(folder))
    record, ours = await ledger.take("b1", owner="me", source_csv="covers.csv", lease_seconds=60, asked=asked)
    assert ours
    assert ledger.record == record
    return record


async def test_the_lease_is_given_and_no_run_is_the_first_owner(tmp_path: Path) -> None:
    record = await taken(tmp_path)
    assert (record.id, record.state, record.summary_key) == ("b1", BatchState.RUNNING, None)
    assert record.takes > 1, "so that each creator is saved as soon as it is done"
    assert not record.after_end, "so that nobody is suspected"


async def test_a_later_run_has_the_start_and_the_parts_of_the_first(tmp_path: Path) -> None:
    first = await taken(tmp_path)
    later = await taken(tmp_path, Asked("digest", "{}", part_creators=7))
    assert (later.started_at, later.asked) == (first.started_at, ASKED)
    assert first.started_at.microsecond == 0


async def test_it_remembers_what_is_done(tmp_path: Path) -> None:
    ledger, batch = FolderLedger(SafeFolder(tmp_path)), batch_of(job())
    assert await ledger.begin_creator(batch, "bob") == (None, False)
    await ledger.finish_creators(batch, [CreatorRecord(name, CreatorStatus.COMPLETED) for name in ("bob", "ann")])
    assert [record.creator async for record in ledger.all_creator_records("b")] == ["ann", "bob"]
    await ledger.note_summary(batch.lease, summary_key="s.json", counts={"creators_total": 1})
    assert (ledger.summary_key, ledger.counts) == ("s.json", {"creators_total": 1})
    assert await ledger.batch("b1") is None
