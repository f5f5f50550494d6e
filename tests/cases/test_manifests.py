"""Manifests as people have them: the project's own, and those of a collection beside the checkout if there is one."""

from pathlib import Path

import pytest

from tests.cases.folders import folders
from tests.cases.make_manifests import cases
from tests.cases.manifests_runner import expectations, judged

FOLDER = Path(__file__).parent / "manifests"
EXPECTED = expectations(FOLDER)
ALL = [(folder, name) for folder in folders("manifests") for name in expectations(folder)]


@pytest.mark.parametrize(("folder", "name"), ALL, ids=[f"{folder.parent.name}-{name}" for folder, name in ALL])
def test_a_manifest_as_people_have_it_is_read_as_they_expect(folder: Path, name: str) -> None:
    result = judged(folder, name, expectations(folder)[name])
    assert result.passed, result.found


def test_every_file_is_expected_to_be_something() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*EXPECTED, "expected.json"}


def test_the_files_are_as_they_are_made() -> None:
    for name, (raw, expected) in cases().items():
        assert (FOLDER / name).read_bytes() == raw
        assert EXPECTED[name] == expected
