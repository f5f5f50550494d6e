"""What `pipx install` of a checkout makes: the command, and every module of C code."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def copied(target: Path) -> Path:
    """Copy what a build needs, and nothing that an earlier build left."""
    shutil.copytree(ROOT / "worker", target / "worker", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "requirements", target / "requirements")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


def test_a_wheel_has_the_command_and_every_module_of_c_code(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", ".", "."],
        cwd=copied(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "collage = worker.cli.app:main" in archive.read(entry_points).decode()
    compiled = {Path(name).name.partition(".")[0] for name in names if name.endswith(".so")}
    assert compiled == {path.stem for path in (ROOT / "worker/images").glob("_*.c")}
    rooms = {path.parent.name for path in (ROOT / "worker").glob("*/__init__.py")}
    assert rooms <= {Path(name).parent.name for name in names}
