"""What ours is measured against: peers in environments of their own under .bench/, pinned, never beside the product."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.photos import CACHE, HERE

OURS = Path(sys.executable)
STOCK = ("pillow==12.1.1", "pillow-heif==1.8.1", "requests==2.34.2")
NEWEST = ("pillow==13.0.0", "pillow-heif==1.8.1")
SHARP = "sharp@0.35.5"
VIPS = ("pyvips==3.2.0", "pyvips-binary==8.18.7", "cffi", "numpy")
IMG2DATASET = ("img2dataset==1.47.0", "setuptools<81")
BESIDE = ("simplejpeg==1.9.0", "pyturbojpeg==1.8.3", "waitress==3.0.2")
PY_SPY = ("py-spy==0.4.3",)


def environment(name: str, packages: tuple[str, ...]) -> Path | None:
    """Return the Python of an environment with the packages, made where it is missing; None where it cannot be made."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    if not (stamp.exists() and stamp.read_text() == repr(packages)):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        done = _pip(python, *packages)
        if done is not None:
            stamp.with_name("failed").write_text(done)
            return None
        stamp.write_text(repr(packages))
    return python


def sharp() -> Path | None:
    """Return a folder with sharp in it, for node; None where there is no node, or it cannot be installed."""
    folder = CACHE / "sharp"
    stamp = folder / "installed"
    if shutil.which("npm") is None:
        return None
    if not (stamp.exists() and stamp.read_text() == SHARP):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", SHARP]
        if subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode != 0:
            return None
        stamp.write_text(SHARP)
    return folder


def beside() -> Path | None:
    """Return a folder with packages to lay beside our environment, without anything they depend on."""
    folder = CACHE / "beside"
    stamp = folder / "installed"
    if not (stamp.exists() and stamp.read_text() == repr(BESIDE)):
        shutil.rmtree(folder, ignore_errors=True)
        if _pip(OURS, "--no-deps", "--target", str(folder), *BESIDE) is not None:
            return None
        stamp.write_text(repr(BESIDE))
    return folder


def turbojpeg() -> Path | None:
    """Return TurboJPEG's library out of Debian's package."""
    debs = CACHE / "debs"
    if not list(debs.glob("libturbojpeg0_*.deb")):
        subprocess.run(["apt-get", "download", "libturbojpeg0"], cwd=debs, check=False, capture_output=True)
    for deb in debs.glob("libturbojpeg0_*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, debs / "libturbojpeg0"], check=True)
    return next(iter((debs / "libturbojpeg0").rglob("libturbojpeg.so.0")), None)


def floor() -> Path | None:
    """Return the C program of the hardware's floor, compiled where it is missing or old."""
    program, source = CACHE / "floor", HERE / "floor.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        command = ["cc", "-O3", "-march=native", str(source), "-o", str(program), "-ljpeg"]
        if subprocess.run(command, check=False).returncode != 0:
            return None
    return program


def plain() -> dict[str, str]:
    """Return an environment without the caller's settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONDONTWRITEBYTECODE": "1"}


def of_decoders() -> dict[str, str]:
    """Return how the worker sets up the memory of its decoder processes."""
    from worker.decode.pool import _ENVIRONMENT

    return {name: value for name, value in _ENVIRONMENT.items() if name.startswith("MALLOC")}


def _pip(python: Path, *arguments: str) -> str | None:
    """Install, and return what went wrong."""
    command = [python, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return None if done.returncode == 0 else "\n".join(done.stderr.strip().splitlines()[-3:])
