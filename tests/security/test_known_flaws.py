"""The flaws that Pillow-SIMD 12.1.1 is known to have: the code that holds them is not reached. See SECURITY.md."""

import gzip
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.GifImagePlugin import GifImageFile
from PIL.MpoImagePlugin import MpoImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tests.security import corpus
from tests.security.attacks import MARK
from tests.unit.pictures import encoded, exif_with_orientation, photo, press_profile, wide_gamut_profile, with_alpha
from worker import __version__
from worker.decode import pool
from worker.decode.pool import DecodePool
from worker.errors import ImageError, ImageReason
from worker.images import jpeg
from worker.images.cell import CellSpec, make_cell
from worker.images.collage import compose
from worker.images.geometry import canvas_size, cell_origin

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
    for profile in (wide_gamut_profile(), press_profile()):
        make_cell(encoded(photo(40, 30).convert("CMYK"), "JPEG", icc_profile=profile), SPEC)
    for data in everything():
        with _whatever():
            make_cell(data, SPEC)
    assert set(seen) == {("RGB", "RGB", "RGB", True), ("CMYK", "CMYK", "RGB", True)}


def test_cve_2026_96643_headers_of_exif_are_taken_off_at_once() -> None:
    headers = b"Exif\0\0" * 10_000
    tiff = bytes(exif_with_orientation(6).tobytes())
    segment = b"\xff\xe1" + struct.pack(">H", len(headers) + 2) + headers
    last = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    for data in (
        corpus.JPEG[:2] + segment * 100 + last + corpus.JPEG[2:],
        encoded(corpus.PLAIN, "PNG", exif=headers * 100 + tiff),
        encoded(corpus.PLAIN, "WEBP", exif=headers * 100 + tiff),
    ):
        began = time.process_time()
        cell = make_cell(data, SPEC)
        assert (cell.width, cell.height) == corpus.PLAIN.size[::-1], "what stands behind the headers is read"
        assert time.process_time() - began < 3, "Pillow alone takes minutes for 6 MB"


DHP, EOI_SOI = 0xDE, b"\xff\xd9\xff\xd8"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_cve_2026_112403_pillow_and_libjpeg_see_one_size_in_any_header(data: st.DataObject) -> None:
    """Rows of one width in a buffer of another: a header would have to say two sizes, in what only one passes over."""
    frame = st.builds(
        lambda marker, high, wide: b"\xff%c" % marker + struct.pack(">HBHHB", 11, 8, high, wide, 1) + b"\1\x11\0",
        st.sampled_from([0xC0, 0xC1, 0xC2, 0xC3, 0xC9, DHP]), st.integers(1, 99), st.integers(1, 99),
    )  # fmt: skip
    odd = st.sampled_from([0x01, 0xC8, 0xCC, 0xD0, 0xD7, 0xDC, 0xDD, 0xDF, 0xE0, 0xE1, 0xE2, 0xEE, 0xF0, 0xFD, 0xFE])
    segment = st.builds(
        lambda marker, length, body: b"\xff%c" % marker + struct.pack(">H", length or len(body) + 2) + body,
        odd, st.sampled_from([0, 0, 0, 1, 2, 3, 9]), frame | st.binary(max_size=4) | st.just(b"MPF\0"),
    )  # fmt: skip
    junk = st.sampled_from([b"\xff", b"\xff\0", b"\0", b"x", EOI_SOI, b"\xff\xd8", b"\xff\xd0", b"\xff\1"])
    plain = encoded(Image.new("L", (40, 30)), "JPEG")
    parts = [part for _, _, part in corpus.segments(plain)]
    header = data.draw(st.lists(segment | frame | junk | st.sampled_from(parts[:-1]), max_size=8))
    file = plain[:2] + b"".join(header) + b"".join(parts[data.draw(st.integers(0, 2)) :]) + b"\xff\xd9"
    try:
        with warnings.catch_warnings(action="ignore"):
            picture = Image.open(io.BytesIO(file), formats=("JPEG",))
    except (OSError, SyntaxError, ValueError, IndexError, struct.error):
        return
    assert picture.tile == [("jpeg", (0, 0, *picture.size), 0, (picture.mode, ""))]
    jpeg.decoded_region(file, picture.size, 1, (0, 0, 1, 1))  # raises ValueError where libjpeg sees another size


def test_cve_2026_96639_no_picture_but_the_first_of_a_file_is_ever_turned_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor CVE-2026-96636: neither storage nor checks of one picture are there for the next."""

    def first_only(_: object, frame: int) -> None:
        assert frame == 0

    for plugin in (GifImageFile, MpoImageFile, PngImageFile, WebPImageFile):
        monkeypatch.setattr(plugin, "seek", first_only)
    for data in (*everything(), corpus.animated(20)):
        with _whatever():
            make_cell(data, SPEC)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_cve_2026_96778_a_collage_has_no_comment_profile_or_exif(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[dict[str, object], set[str]]] = []
    plain = Image.Image.save

    def watched(self: Image.Image, fp: Any, format: Any = None, **options: Any) -> None:  # noqa: A002 -- Pillow's name
        given.append((self.info, set(options)))
        plain(self, fp, format, **options)

    monkeypatch.setattr(Image.Image, "save", watched)
    compose([bytes(12)], rows=1, cols=1, cell=2, gutter=0, background=(0, 0, 0), format=kind, quality=90)
    ((info, options),) = given
    assert info == {}
    assert not options & {"comment", "icc_profile", "exif", "xmp", "extra", "qtables"}


@pytest.mark.parametrize("lock", ["runtime.lock", "dev.lock", "build.lock", "audit.lock", "site.lock"])
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    pinned = [index for index, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
    assert pinned
    for index in pinned:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+", lines[index]), lines[index]
        assert "--hash=sha256:" in lines[index + 1]


def test_the_audit_knows_the_flaws_that_are_told_of_here_and_asks_for_pillow_by_its_name(tmp_path: Path) -> None:
    """With a stand-in for pip-audit, which shows what it is asked."""
    for name in ("scripts/audit", "SECURITY.md", "requirements/runtime.lock", "requirements/build.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    stand_in = tmp_path / ".venv-audit" / "bin" / "pip-audit"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nwhile [ $# -gt 1 ]; do shift; done\ncat "$1"\n')
    stand_in.chmod(0o755)
    asked = subprocess.run([tmp_path / "scripts" / "audit"], capture_output=True, text=True, check=True).stdout.split()
    assert {"--ignore-vuln=CVE-2026-42311", "--ignore-vuln=GHSA-8g5g-8vmr-9782", "--strict"} <= set(asked)
    assert "pillow==12.1.1" in asked
    assert not any(each.startswith("pillow-simd") for each in asked)
    locked = re.findall(r"^[a-z0-9-]+==", (ROOT / "requirements" / "runtime.lock").read_text(), re.MULTILINE)
    assert {each.partition("==")[0] for each in asked} >= {each[:-2] for each in locked} - {"pillow-simd"}


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
