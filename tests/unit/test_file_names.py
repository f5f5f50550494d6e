"""Names of files and folders that people can read and every file system can hold."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.file_names import MAX_BYTES, FolderNames, folded, folder_name, saved_as

NAMES = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize("name", ["王小明", "ann", "Ann.Smith-2", "é", "한국어", "a b", "x" * 150])
def test_a_name_that_every_file_system_can_hold_stays_as_it_is(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("name", "likeness"),
    [
        ("con", "_con"),
        ("CON.txt", "_CON.txt"),
        ("nul .x", "_nul .x"),
        ("COM¹", "_COM¹"),
        ("a/b", "a_b"),
        ("a:b", "a_b"),
        ("..", "_"),
        ("", "_"),
        ("trail. ", "trail"),
        ("e\u0301", "é"),
        ("\udcff", "_"),
        ("a\u202eb", "a_b"),
        ("x~1", "x_1"),
    ],
)
def test_any_other_name_gets_a_likeness_and_a_hash(name: str, likeness: str) -> None:
    found, tilde, digest = folder_name(name).rpartition("~")
    assert (found, tilde, len(digest)) == (likeness, "~", 8)


@given(NAMES)
def test_every_name_has_a_folder_that_every_file_system_takes(name: str) -> None:
    found = folder_name(name)
    assert 0 < len(found.encode()) <= MAX_BYTES
    assert not set(found) & set('<>:"/\\|?*\0')
    assert found == unicodedata.normalize("NFC", found)
    assert found.strip(" .") == found


@given(st.lists(NAMES, unique=True, max_size=8))
def test_two_names_never_share_a_folder_where_case_and_composition_do_not_count(names: list[str]) -> None:
    folders = FolderNames()
    given_to = [folders.of(name) for name in names]
    assert len({folded(found) for found in given_to}) == len(names)


@given(st.lists(st.sampled_from(["Ann", "ann", "ANN", "é", "e\u0301", "É", "ss", "ß"]), unique=True))
def test_a_run_that_goes_on_finds_each_names_folder_again(names: list[str]) -> None:
    folders = FolderNames()
    before = {name: folders.of(name) for name in names}
    later = FolderNames(tuple(before.values()))
    assert {name: later.of(name) for name in reversed(names)} == before


def test_a_collage_is_saved_under_its_creators_name() -> None:
    key = "p/collages/by-creator/%E7%8E%8B/collage_20250119_120000_p2.jpg"
    assert saved_as("王 a", key) == (
        "inline; filename=\"_ a_20250119_120000_p2.jpg\"; filename*=UTF-8''%E7%8E%8B%20a_20250119_120000_p2.jpg"
    )


@given(NAMES)
def test_no_name_breaks_out_of_the_header(name: str) -> None:
    header = saved_as(name, "collage_20250119_120000.jpg")
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
