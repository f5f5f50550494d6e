"""Images as people have them; `python -m tests.cases images FOLDER` runs those of another folder.

`images/` has a small file for each kind (`make_images.py`), `reported/` larger ones, as they were met.
"""

from pathlib import Path

import pytest

from tests.cases.images_runner import expectations, judged

FOLDERS = [Path(__file__).parent / name for name in ("images", "reported")]
CASES = [(folder, name) for folder in FOLDERS for name in expectations(folder)]


@pytest.mark.parametrize(("folder", "name"), CASES, ids=[f"{folder.name}/{name}" for folder, name in CASES])
def test_an_image_as_people_have_it_comes_out_as_a_browser_shows_it(folder: Path, name: str) -> None:
    result = judged(folder, name, expectations(folder)[name])
    assert result.passed, result.found


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_every_file_is_expected_to_be_something(folder: Path) -> None:
    expected = expectations(folder)
    references = {entry["like"] for entry in expected.values() if "like" in entry}
    assert {path.name for path in folder.iterdir()} == {*expected, *references, "expected.json"}
