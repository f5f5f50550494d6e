"""The project's own images as people have them; `python -m tests.cases images FOLDER` runs those of another folder."""

from pathlib import Path

import pytest

from tests.cases.images_runner import expectations, judged

FOLDER = Path(__file__).parent / "images"
EXPECTED = expectations(FOLDER)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_image_as_people_have_it_comes_out_as_a_browser_shows_it(name: str) -> None:
    result = judged(FOLDER, name, EXPECTED[name])
    assert result.passed, result.found


def test_every_file_is_expected_to_be_something() -> None:
    references = {entry["like"] for entry in EXPECTED.values() if "like" in entry}
    assert {path.name for path in FOLDER.iterdir()} == {*EXPECTED, *references, "expected.json"}
