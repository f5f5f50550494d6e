"""The project's own manifests as people have them; `python -m tests.cases manifests FOLDER` reads another folder's."""

from pathlib import Path

import pytest

from tests.cases.make_manifests import cases
from tests.cases.manifests_runner import expectations, judged

FOLDER = Path(__file__).parent / "manifests"
EXPECTED = expectations(FOLDER)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_manifest_as_people_have_it_is_read_as_they_expect(name: str) -> None:
    result = judged(FOLDER, name, EXPECTED[name])
    assert result.passed, result.found


def test_every_file_is_expected_to_be_something() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*EXPECTED, "expected.json"}


def test_the_files_are_as_they_are_made() -> None:
    for name, (raw, expected) in cases().items():
        assert (FOLDER / name).read_bytes() == raw
        assert EXPECTED[name] == expected
