"""The photographs of the benchmark: 35 portraits of 576x1024 to 1080x1920, cut out of photographs in Debian's packages.

The packaged samples are too small for it, and enlarged ones would be smooth where real ones have grain. Where the
packages cannot be had, the samples are enlarged nevertheless, and the report says so.
"""

import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
CACHE = HERE.parent / ".bench"
SAMPLES = HERE.parent / "samples" / "photos"

PACKAGES = ("lomiri-wallpapers-16.04", "mate-backgrounds")
SIZES = ((576, 1024), (720, 1280), (1080, 1920))
QUALITIES = (75, 82, 90)
COUNT = 35

# Drawings and renderings between the photographs; and one photograph that comes in three sizes.
_LEFT_OUT = ("Blinds", "Stripes", "GreenTraditional", "Ubuntu-Mate", "Elephants_3840", "Elephants.jpg")


@dataclass(frozen=True, slots=True)
class Photos:
    """Files by kind, the same pictures in the same order; and where they come from.

    Kinds are jpeg, progressive, webp and png, and avif and heic where there is an encoder.
    """

    files: dict[str, list[Path]]
    source: str


def photos() -> Photos:
    """Return the photographs, making them where they are not there yet."""
    folder = CACHE / "photos"
    note = folder / "source.txt"
    if not note.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        source = _make(folder)
        note.write_text(source, encoding="utf-8")
    _encode(folder)
    kinds = ("jpeg", "progressive", "webp", "png", *(kind for kind in _ENCODERS if (folder / kind).exists()))
    files = {kind: sorted((folder / kind).iterdir()) for kind in kinds}
    return Photos(files, note.read_text(encoding="utf-8"))


def _make(folder: Path) -> str:
    for kind in ("jpeg", "progressive", "webp", "png"):
        (folder / kind).mkdir()
    found = _unpacked()
    source = f"cut out of photographs in Debian's packages {' and '.join(PACKAGES)}"
    if len(found) < COUNT // 2:
        found = sorted(SAMPLES.glob("*.jpg"))
        source = "the packaged samples, ENLARGED, because Debian's packages could not be had: take no figure for real"
    for number, picture in enumerate(_portraits(found)):
        _save(picture, number, folder)
    return source


def _unpacked() -> list[Path]:
    debs = CACHE / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return []
    for package in PACKAGES:
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=debs, check=False, capture_output=True)
        for deb in debs.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, debs / package], check=True)
    paths = (path for package in PACKAGES for path in (debs / package).rglob("*.jpg") if not path.is_symlink())
    return sorted(path for path in paths if not path.name.startswith(_LEFT_OUT))


def _portraits(paths: list[Path]) -> list[Image.Image]:
    """Cut one portrait out of each photograph, and further ones beside it out of the largest until there are enough."""
    Image.MAX_IMAGE_PIXELS = None
    pictures: list[Image.Image] = []
    by_size = sorted(paths, key=lambda path: -Image.open(path).size[0])
    wanted = [(path, 0.5) for path in paths] + [(path, share) for share in (0.05, 0.95) for path in by_size]
    for number, (path, share) in enumerate(wanted[:COUNT]):
        width, height = SIZES[number % len(SIZES)]
        with Image.open(path) as picture:
            high = picture.height
            wide = high * width // height
            if wide > picture.width:
                wide, high = picture.width, picture.width * height // width
            left, top = int((picture.width - wide) * share), (picture.height - high) // 2
            box = (left, top, left + wide, top + high)
            pictures.append(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, box=box))
    return pictures


def _save(picture: Image.Image, number: int, folder: Path) -> None:
    quality = QUALITIES[number // len(SIZES) % len(QUALITIES)]
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)  # 4:2:0, as libjpeg chooses
    (folder / "jpeg" / f"{number:02}.jpg").write_bytes(file.getvalue())
    picture = Image.open(file)  # the other kinds hold what the first shows, so that one reference serves them all
    picture.save(folder / "progressive" / f"{number:02}.jpg", quality="keep", progressive=True)
    picture.save(folder / "webp" / f"{number:02}.webp", quality=quality, method=4)
    picture.save(folder / "png" / f"{number:02}.png")


_ENCODERS = {
    "avif": ("avifenc", "--min", "20", "--max", "30", "-y", "420", "-s", "6", "-j", "1"),
    "heic": ("heif-enc", "-q", "60"),
}
"""What makes files that Pillow-SIMD does not write; Debian's packages libavif-bin and libheif-examples have them.

The older avifenc of Debian 12 has no `-q`, and makes 4:4:4 of a PNG where nobody asks for 4:2:0."""


def _encode(folder: Path) -> None:
    """Write the same pictures with the encoders that there are."""
    for kind, (program, *options) in _ENCODERS.items():
        if (folder / kind).exists() or shutil.which(program) is None:
            continue
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            for path in sorted((folder / "png").iterdir()):
                target = Path(made) / f"{path.stem}.{kind}"
                output = [str(path), str(target)] if kind == "avif" else ["-o", str(target), str(path)]
                subprocess.run([program, *options, *output], check=True, capture_output=True)
            shutil.copytree(made, folder / kind)


def tiny() -> Path:
    """Return a folder with the photographs made small."""
    folder = CACHE / "photos-small"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (CACHE / "photos" / "jpeg").iterdir():
        if not (folder / path.name).exists():
            with Image.open(path) as picture:
                picture.resize((72, 128)).save(folder / path.name)
    return folder
