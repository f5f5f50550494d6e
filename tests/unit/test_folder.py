"""The same job without AWS: manifests from files, results into a folder."""

# ruff: noqa: ASYNC240 -- small files in a temporary folder: nothing else waits for the loop

import io
from pathlib import Path

import pytest

from tests.unit.fakes import NOON
from worker.cli.folder import FolderManifests, FolderResults, FolderStore
from worker.cli.safe_folder import SafeFolder
from worker.errors import TerminalError, Unavailable
from worker.keys import collage_key
from worker.model import S3Manifest

NAMED = S3Manifest("file", "covers.csv")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "covers.csv"
    path.write_bytes(b"creator,url\n")
    return path


async def put(results: FolderResults, *keys: str, body: bytes = b"collage", creator: str = "ann") -> str:
    key, _ = await results.put_collage(
        (keys[0], keys[1]), body, batch_id="b", creator=creator, images=1, content_type="image/jpeg"
    )
    return key


async def test_a_manifest_is_known_by_its_bytes(path: Path) -> None:
    manifests = FolderManifests(path)
    before = await manifests.head(NAMED)
    assert before is not None
    assert (before.size, before.version) == (12, None)
    path.write_bytes(b"creator,urls")
    after = await manifests.head(NAMED)
    assert after is not None
    assert after.etag != before.etag


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
async def test_what_is_no_file_is_no_manifest(tmp_path: Path, name: str) -> None:
    assert await FolderManifests(tmp_path / name).head(NAMED) is None


async def test_a_file_that_cannot_be_read_is_told_so() -> None:
    with pytest.raises(TerminalError, match=r"cannot read /proc/self/mem: Input/output error"):
        await FolderManifests(Path("/proc/self/mem")).head(NAMED)


async def test_a_manifest_is_copied_from_its_start_and_stays_where_it_is(path: Path) -> None:
    manifests, file = FolderManifests(path), io.BytesIO()
    head = await manifests.head(NAMED)
    assert head is not None
    await manifests.download(NAMED, head, file)
    assert file.read() == b"creator,url\n"
    await manifests.archive(NAMED, head, batch_id="b", failed=False)
    await manifests.archive(NAMED, head, batch_id="b", failed=True)
    await manifests.put_error(NAMED, b"{}", batch_id="b")
    assert [path.name for path in path.parent.iterdir()] == ["covers.csv"]


async def test_results_stand_under_the_keys_they_would_have_in_s3(tmp_path: Path) -> None:
    results = FolderResults(SafeFolder(tmp_path / "new" / "out"))
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
    results = FolderResults(SafeFolder(tmp_path))
    (tmp_path / "c" / "ann").mkdir(parents=True)
    (tmp_path / "c" / "ann" / "a.jpg").write_bytes(b"another")
    assert await put(results, "c/x/a.jpg", "c/x/a_1f3a9c52.jpg") == "c/ann/a_1f3a9c52.jpg"
    assert (tmp_path / "c" / "ann" / "a.jpg").read_bytes() == b"another"


async def test_the_same_collage_again_has_the_same_key(tmp_path: Path) -> None:
    results = FolderResults(SafeFolder(tmp_path))
    keys = ("c/x/a.jpg", "c/x/b.jpg")
    assert await put(results, *keys) == await put(results, *keys) == "c/ann/a.jpg"
    assert [path.name for path in (tmp_path / "c" / "ann").iterdir()] == ["a.jpg"]


async def test_creators_folders_have_names_that_people_read(tmp_path: Path) -> None:
    results = FolderResults(SafeFolder(tmp_path))
    key = collage_key("", "王小明", NOON, page=1, extension="jpg")
    assert await put(results, key, "x", creator="王小明") == f"collages/by-creator/王小明/{key.rpartition('/')[2]}"
    assert (tmp_path / "collages" / "by-creator" / "王小明").is_dir()


async def test_what_cannot_be_written_ends_the_job_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "collages").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable, match=r"cannot write .*/collages/ann/a\.jpg: (File exists|Not a directory)"):
        await put(FolderResults(SafeFolder(tmp_path)), "collages/x/a.jpg", "x")


@pytest.mark.parametrize("name", ["..", ".", "../../up", "/etc", "\udcff", "a\0b"])
async def test_creators_named_like_folders_stay_inside(tmp_path: Path, name: str) -> None:
    results = FolderResults(SafeFolder(tmp_path / "out"))
    key = collage_key("", name, NOON, page=1, extension="jpg")
    await put(results, key, key, creator=name)
    [written] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.parent.parent == tmp_path / "out" / "collages" / "by-creator"


async def test_a_part_is_put_where_there_is_none(tmp_path: Path) -> None:
    results = FolderResults(SafeFolder(tmp_path))
    assert await results.put_part("results/part.gz", b"1")
    assert not await results.put_part("results/part.gz", b"2")
    assert (tmp_path / "results" / "part.gz").read_bytes() == b"1"
    assert [key async for key in results.keys("results/")] == ["results/part.gz"]


async def test_what_is_done_of_unfinished_parts_is_kept_out_of_sight(tmp_path: Path) -> None:
    store = FolderStore(SafeFolder(tmp_path))
    assert await store.get("processing/b/unfinished/ann.jsonl.gz") is None
    await store.put("processing/b/unfinished/ann.jsonl.gz", b"lines")
    assert await store.get("processing/b/unfinished/ann.jsonl.gz") == b"lines"
    assert store.creators_done == 1
    assert [path.name for path in tmp_path.iterdir()] == [".collage"]
