"""The flaws that Pillow-SIMD 12.1.1 is known to have: the code that holds them is not reached. See SECURITY.md."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.security import corpus
from tests.security.attacks import MARK
from tests.unit.pictures import encoded, photo, wide_gamut_profile, with_alpha
from worker import __version__
from worker.errors import ImageError, ImageReason
from worker.images import pool
from worker.images.cell import CellSpec, make_cell
from worker.images.collage import compose
from worker.images.geometry import canvas_size, cell_origin
from worker.images.pool import DecodePool

ROOT = Path(__file__).parents[2]
SPEC = CellSpec(size=16, background=(1, 2, 3), min_side=1, max_pixels=50_000_000)
DECODERS = {"Bmp", "Gif", "Jpeg", "Mpo", "Png", "Ppm", "Tiff", "WebP", "Avif"}
"""Plugins that a decoder has loaded; BMP and PPM come with Pillow's own start, TIFF reads EXIF.
All but four are never asked."""


def everything() -> list[bytes]:
    return [data for family in ("polyglots", "metadata", "kinds") for _, (data, _) in corpus.FAMILIES[family]()]


async def test_no_other_plugin_is_even_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-42311 (PSD), -40192 (FITS), and those of EPS, PDF, JPEG 2000, TGA, GD and fonts: no code, no flaw."""
    monkeypatch.setattr(pool, "DECODER", "tests.security.intruder")
    async with DecodePool(1) as decodes:
        for data in everything():
            with _whatever():
                await decodes.decode(data, SPEC)
        with pytest.raises(ImageError) as answer:
            await decodes.decode(MARK + json.dumps(["modules"]).encode(), SPEC)
    loaded = json.loads(str(answer.value))["got"]
    plugins = {name.removeprefix("PIL.").removesuffix("ImagePlugin") for name in loaded if name.endswith("ImagePlugin")}
    assert plugins <= DECODERS
    assert not {"PIL.PdfParser", "PIL.ImageFont", "PIL.FontFile", "PIL.ImageDraw", "PIL.ImageFilter"} & set(loaded)


class _whatever:  # noqa: N801 -- reads as a statement
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, ImageError)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"8BPS\0\1" + bytes(20), ImageReason.UNSUPPORTED_FORMAT),
        (b"SIMPLE  =                    T".ljust(2_880), ImageReason.NOT_AN_IMAGE),
        (gzip.compress(b"SIMPLE  =                    T".ljust(2_880)), ImageReason.NOT_AN_IMAGE),
    ],
    ids=["CVE-2026-42311", "CVE-2026-40192", "CVE-2026-40192 in gzip"],
)
def test_a_format_with_a_known_flaw_is_refused_before_pillow_sees_it(
    data: bytes, reason: ImageReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    with pytest.raises(ImageError) as refused:
        make_cell(data, SPEC)
    assert refused.value.reason is reason


def test_cve_2026_59199_no_box_that_is_pasted_into_comes_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [*everything(), encoded(with_alpha(photo(40, 30)), "PNG")]
    boxes: list[tuple[Any, Any, Any]] = []
    plain = Image.Image.paste

    def watched(self: Image.Image, im: Any, box: Any = None, mask: Any = None) -> None:
        boxes.append((self.size, box, getattr(im, "size", None)))
        plain(self, im, box, mask)

    monkeypatch.setattr(Image.Image, "paste", watched)
    for data in files:
        with _whatever():
            make_cell(data, SPEC)
    assert boxes
    for size, box, pasted in boxes:
        assert box in (None, (0, 0), (0, 0, *size))
        assert pasted in (None, size)
    compose([bytes(12)] * 5, rows=2, cols=3, cell=2, gutter=1, background=(0, 0, 0), format="png", quality=1)


@given(count=st.integers(1, 200), cols=st.integers(1, 100), cell=st.integers(1, 2_000), gutter=st.integers(0, 200))
def test_cve_2026_59199_every_cell_lies_within_its_canvas(count: int, cols: int, cell: int, gutter: int) -> None:
    width, height = canvas_size(count, cols, cell, gutter)
    for index in {0, count - 1, min(count, cols) - 1}:
        left, top = cell_origin(index, cols, cell, gutter)
        assert 0 <= left <= width - cell
        assert 0 <= top <= height - cell


def test_cve_2026_59205_a_colour_transform_is_given_the_mode_that_it_was_made_for_and_no_place_to_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str, str, bool]] = []
    plain = ImageCms.ImageCmsTransform.apply

    def watched(self: Any, im: Image.Image, imOut: Any = None) -> Image.Image:  # noqa: N803 -- Pillow's name
        seen.append((im.mode, self.input_mode, self.output_mode, imOut is None))
        return plain(self, im, imOut)

    monkeypatch.setattr(ImageCms.ImageCmsTransform, "apply", watched)
    monkeypatch.setattr(ImageCms, "profileToProfile", lambda *_, **__: pytest.fail("not used"))
    for picture in (photo(40, 30), with_alpha(photo(40, 30)), photo(40, 30).convert("L"), photo(40, 30).convert("P")):
        make_cell(encoded(picture, "PNG", icc_profile=wide_gamut_profile()), SPEC)
    make_cell(encoded(photo(40, 30).convert("CMYK"), "JPEG", icc_profile=wide_gamut_profile()), SPEC)
    for data in everything():
        with _whatever():
            make_cell(data, SPEC)
    assert set(seen) == {("RGB", "RGB", "RGB", True)}


@pytest.mark.parametrize("lock", ["runtime.lock", "dev.lock", "build.lock"])
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    pinned = [index for index, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
    assert pinned
    for index in pinned:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+", lines[index]), lines[index]
        assert "--hash=sha256:" in lines[index + 1]


PURL = re.compile(r"pkg:(pypi|deb/debian|generic)/[a-z0-9.%A-F-]+@[A-Za-z0-9.%~_-]+(\?[a-z]+=[^&]+(&[a-z]+=[^&]+)*)?")


def test_the_bill_of_materials_is_cyclonedx_and_the_same_each_time() -> None:
    """The rules of the schema of CycloneDX 1.6 that such a document can break, without the schema's 6,000 lines."""
    made = [
        subprocess.run([sys.executable, ROOT / "scripts" / "make_sbom.py"], capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert made[0] == made[1]
    document = json.loads(made[0])
    assert set(document) == {
        "$schema", "bomFormat", "specVersion", "version", "serialNumber", "metadata", "components", "dependencies"
    }  # fmt: skip
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    assert document["metadata"]["component"]["version"] == __version__
    for component in document["components"]:
        assert set(component) - {"licenses"} == {"type", "bom-ref", "name", "version", "purl"}
        assert component["type"] in {"library", "platform", "operating-system"}
        assert PURL.fullmatch(component["purl"]), component["purl"]
    refs = [component["bom-ref"] for component in document["components"]]
    assert len(refs) == len(set(refs))
    assert document["dependencies"] == [{"ref": "collage-worker", "dependsOn": refs}]


def test_the_bill_of_materials_lists_all_that_is_installed() -> None:
    made = subprocess.run([sys.executable, ROOT / "scripts" / "make_sbom.py"], capture_output=True, check=True).stdout
    listed = {component["name"] for component in json.loads(made)["components"]}
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "build.lock").read_text(), re.MULTILINE))
    assert listed >= pinned | {"python", "aiohttp", "aiobotocore"}
    assert listed & {"pillow", "pillow-simd"}
