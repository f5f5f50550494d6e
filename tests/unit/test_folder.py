"""The same job without AWS: manifests from files, results into a folder."""

# ruff: noqa: ASYNC240 -- small files in a temporary folder: nothing else waits for the loop

import io
from pathlib import Path

import pytest

from tests.unit.fakes import batch_of, job
from worker.cli.folder import FolderManifests, FolderResults, MemoryLedger
from worker.errors import TerminalError, Unavailable
from worker.keys import metadata_key
from worker.model import BatchState, CreatorRecord, CreatorStatus, S3Manifest


@pytest.fixture
def manifest(tmp_path: Path) -> S3Manifest:
    path = tmp_path / "covers.csv"
    path.write_bytes(b"creator,url\n")
    return S3Manifest("file", str(path))


async def put(results: FolderResults, *keys: str, body: bytes = b"collage") -> str:
    return await results.put_collage(
        (keys[0], keys[1]), body, batch_id="b", creator="ann", images=1, content_type="image/jpeg"
    )


async def test_a_manifest_is_known_by_its_bytes(manifest: S3Manifest) -> None:
    manifests = FolderManifests()
    before = await manifests.head(manifest)
    assert before is not None
    assert (before.size, before.version) == (12, None)
    Path(manifest.key).write_bytes(b"creator,urls")
    after = await manifests.head(manifest)
    assert after is not None
    assert after.etag != before.etag


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
async def test_what_is_no_file_is_no_manifest(tmp_path: Path, name: str) -> None:
    assert await FolderManifests().head(S3Manifest("file", str(tmp_path / name))) is None


async def test_a_file_that_cannot_be_read_is_told_so() -> None:
    with pytest.raises(TerminalError, match=r"cannot read /proc/self/mem: Input/output error"):
        await FolderManifests().head(S3Manifest("file", "/proc/self/mem"))


async def test_a_manifest_is_copied_from_its_start_and_stays_where_it_is(manifest: S3Manifest) -> None:
    manifests, file = FolderManifests(), io.BytesIO()
    head = await manifests.head(manifest)
    assert head is not None
    await manifests.download(manifest, head, file)
    assert file.read() == b"creator,url\n"
    await manifests.archive(manifest, head, batch_id="b", failed=False)
    await manifests.archive(manifest, head, batch_id="b", failed=True)
    await manifests.put_error(manifest, b"{}", batch_id="b")
    assert [path.name for path in Path(manifest.key).parent.iterdir()] == ["covers.csv"]


async def test_results_stand_under_the_keys_they_would_have_in_s3(tmp_path: Path) -> None:
    results = FolderResults(tmp_path / "new" / "out")
    assert await put(results, "collages/by-creator/ann/a.jpg", "x") == "collages/by-creator/ann/a.jpg"
    await results.put_document("results/s.json", b"{}", "application/json")
    await results.put_document("results/s.html", io.BytesIO(b"<p>"), "text/html")
    found = {
        str(path.relative_to(tmp_path / "new" / "out")): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert found == {
        "collages/by-creator/ann/a.jpg": b"collage",
        "results/s.json": b"{}",
        "results/s.html": b"<p>",
    }


async def test_a_collage_that_is_there_already_is_left_alone_and_the_other_key_taken(tmp_path: Path) -> None:
    results = FolderResults(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"another")
    assert await put(results, "a.jpg", "a_1f3a9c52.jpg") == "a_1f3a9c52.jpg"
    assert (tmp_path / "a.jpg").read_bytes() == b"another"


async def test_the_same_collage_again_has_the_same_key(tmp_path: Path) -> None:
    results = FolderResults(tmp_path)
    assert await put(results, "a.jpg", "b.jpg") == await put(results, "a.jpg", "b.jpg") == "a.jpg"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


async def test_what_cannot_be_written_ends_the_job_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "collages").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable, match=r"cannot write .*/collages/a\.jpg: (File exists|Not a directory)"):
        await put(FolderResults(tmp_path), "collages/a.jpg", "x")


async def test_creators_named_like_folders_stay_inside(tmp_path: Path) -> None:
    results = FolderResults(tmp_path / "out")
    for name in ("..", ".", "../../up", "/etc"):
        await results.put_document(metadata_key("", "b", name), b"{}", "application/json")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 4
    assert all(path.is_relative_to(tmp_path / "out" / "results" / "metadata" / "b") for path in written)


async def test_the_ledger_in_memory_gives_the_lease_and_remembers_the_end() -> None:
    ledger, batch = MemoryLedger(), batch_of(job())
    record, ours = await ledger.take("b1", owner="me", source_csv="covers.csv", lease_seconds=60)
    assert ours
    assert (record.id, record.state, record.summary_key) == ("b1", BatchState.RUNNING, None)
    assert record.started_at.microsecond == 0
    assert await ledger.begin_creator(batch, "ann") == (None, False)
    await ledger.finish_creators(batch, [CreatorRecord("ann", CreatorStatus.COMPLETED)])
    assert await ledger.begin_creator(batch, "ann") == (None, False)
    await ledger.extend(batch.lease, lease_seconds=60, counts={})
    await ledger.note_summary(batch.lease, summary_key="s.json", counts={"creators_total": 1})
    await ledger.complete(batch.lease)
    await ledger.release(batch.lease)
    await ledger.fail(batch.lease, code="x", message="y")
    assert (ledger.summary_key, ledger.counts) == ("s.json", {"creators_total": 1})
    assert await ledger.batch("b1") is None
