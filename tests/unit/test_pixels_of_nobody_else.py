"""Pixels come from the file and from nowhere else: not from memory that held another picture."""

import itertools
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.jpegs import PROGRESSION, PROGRESSION_OF_GREY, Sampling, jpeg
from tests.unit.pictures import encoded, photo, press_profile, raw_png, with_alpha

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "cases"
SIZES = ((64, 113), (113, 64), (250, 444), (401, 222))
CELLS = ("7", "16", "25", "40", "90")

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can fill what malloc hands out")


def samplings() -> list[Sampling]:
    """Return every sampling of luma, with chroma of 1x1 and without any; and those where chroma has another one."""
    luma = list(itertools.product((1, 2, 3, 4), repeat=2))
    return [
        *(((h, v), (1, 1), (1, 1)) for h, v in luma if h * v <= 8),
        *((each,) for each in luma),
        ((1, 1), (2, 2), (2, 2)),
        ((1, 1), (2, 1), (1, 2)),
        ((2, 2), (2, 1), (2, 1)),
        ((2, 2), (1, 2), (2, 1)),
        ((2, 2), (2, 2), (1, 1)),
        ((2, 1), (2, 1), (2, 1)),
        ((4, 1), (2, 1), (1, 1)),
        ((1, 4), (1, 2), (1, 1)),
        ((4, 2), (2, 2), (2, 1)),
    ]


def files() -> dict[str, bytes]:
    found = {}
    for size in SIZES:
        picture = photo(*size, 5)
        named = f"{size[0]}x{size[1]}"
        for sampling in samplings():
            words = "-".join(f"{h}x{v}" for h, v in sampling)
            scans = PROGRESSION if len(sampling) > 1 else PROGRESSION_OF_GREY
            found[f"{named} {words}.jpg"] = jpeg(picture, sampling)
            found[f"{named} {words} progressive.jpg"] = jpeg(picture, sampling, scans=scans)
        for mode in ("L", "CMYK"):
            found[f"{named} {mode}.jpg"] = encoded(picture.convert(mode), "JPEG")
        inks = encoded(picture.convert("CMYK"), "JPEG", icc_profile=press_profile())
        found[f"{named} CMYK with a profile.jpg"] = inks
        found |= {f"{named} {name}": data for name, data in others(picture).items()}
    return found | as_met()


def as_met() -> dict[str, bytes]:
    """Return every file of tests/cases, whole and cut: HEIC and AVIF among them, for which there is no encoder here."""
    found = {}
    for path in sorted(path for folder in ("images", "reported") for path in (CASES / folder).iterdir()):
        data = path.read_bytes()
        found |= {
            f"{path.parent.name} {share}% {path.name}": data[: len(data) * share // 100] for share in (50, 97, 100)
        }
    return found


def others(picture: Image.Image) -> dict[str, bytes]:
    """Return a picture as everything else that it may come as, whole and cut."""
    two = {"save_all": True, "append_images": [picture.rotate(180)], "duration": 40}
    whole = {
        "progressive.jpg": encoded(picture, "JPEG", progressive=True),
        "lossy.webp": encoded(picture, "WEBP", quality=60),
        "lossless.webp": encoded(picture, "WEBP", lossless=True),
        "alpha.webp": encoded(with_alpha(picture), "WEBP"),
        "animated.webp": encoded(picture, "WEBP", **two),
        "colours.png": encoded(picture, "PNG"),
        "alpha.png": encoded(with_alpha(picture), "PNG"),
        "palette.png": encoded(picture.quantize(16), "PNG"),
        "animated.png": encoded(picture, "PNG", **two),
        "short.png": raw_png(*picture.size, 8, 2, picture.tobytes()[: picture.width * 90]),
        "plain.gif": encoded(picture.quantize(64), "GIF"),
        "animated.gif": encoded(picture.quantize(64), "GIF", **two),
    }
    shares = itertools.product(whole.items(), (50, 97))
    return whole | {f"cut at {share}% {name}": data[: len(data) * share // 100] for (name, data), share in shares}


def cells(folder: Path, filling: int) -> dict[str, str]:
    """Return what becomes of each file where malloc fills what it hands out and what it gets back."""
    environment = os.environ | {"MALLOC_PERTURB_": str(filling), "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    environment |= {"PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-m", "tests.unit.cells", str(folder), *CELLS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    return {line.rsplit(" ", len(CELLS))[0]: line for line in done.stdout.splitlines()}


def test_a_cell_is_the_same_whatever_memory_held_before(tmp_path: Path) -> None:
    made = files()
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    one, other = cells(tmp_path, 0x11), cells(tmp_path, 0xC3)
    assert set(one) == set(made)
    assert {name: (one[name], other[name]) for name in made if one[name] != other[name]} == {}
