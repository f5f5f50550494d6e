"""Properties that hold for any input: what takes strangers' bytes raises its own errors and nothing else.

`make fuzz` runs each for many more examples (HYPOTHESIS_PROFILE=fuzz); whatever it finds goes into the tables beside this.
"""

# ruff: noqa: E501, PT017 -- alphabets on one line; that an error is raised is not what is asserted

import io
import json
import os
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.security import corpus
from tests.unit.jpegs import PROGRESSION, jpeg
from tests.unit.memory import fill_memory
from tests.unit.pictures import encoded, photo
from worker.download.addresses import refusal
from worker.download.http_answers import seconds_asked
from worker.download.urls import ImageUrl, expired, host_is_allowed, parse_image_url, redacted, redirect_target
from worker.errors import ImageError, ImageReason, TerminalError
from worker.images.cell import Cell, CellSpec, make_cell
from worker.images.sniff import sniffed_format, webp_canvas
from worker.jobs.messages import JobDefaults, parse
from worker.jobs.report.blocks import in_script, shown
from worker.keys import safe_name
from worker.manifest.manifest import open_manifest
from worker.model import Job, ProcessingConfig

settings.register_profile("bounded", max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("fuzz", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
ROOT = Path(__file__).resolve().parents[2]
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "bounded"))

DEFAULTS = JobDefaults(ProcessingConfig(), "", "input", frozenset({"input"}))
SPEC = CellSpec(size=16, background=(1, 2, 3), min_side=1, max_pixels=200_000)
KEYS = st.sampled_from(
    ["processing_type", "s3_bucket", "s3_key", "csv_data", "output_prefix", "processing_config", "Records", "Type", "Message",
     "Event", "detail-type", "detail", "eventSource", "eventName", "eventVersion", "s3", "bucket", "object", "name", "key",
     "versionId", "rows", "cols", "quality", "timeout", "background", "cell_size"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["csv_s3", "csv_inline", "batch_chunk", "input", "aws:s3", "ObjectCreated:Put", "2.1", "Notification", "Object Created",
     "s3:TestEvent", "csv-files/a.csv", "creator,url\nann,http://x", "white", "null", ""]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6),
    max_leaves=20,
)
URL_PARTS = st.lists(
    st.sampled_from(["http", "https", "://", "//", "/", "\\", "@", ":", "[", "]", "?", "#", "%", "%2f", ".", "..", "127.0.0.1",
                     "0x7f", "017700000001", "::1", "::ffff:", "1", "a", "example", "\u3002", "\uff0e", "①", "ü", "xn--", "&",
                     "x-expires=", "x-signature=", "\t", "\n", " ", "\0", "80", "443", "65536"])
    | st.text(max_size=3),
    max_size=14,
).map("".join)  # fmt: skip


@PROFILE
@given(st.one_of(VALUES.map(json.dumps), st.text(), st.dictionaries(KEYS, VALUES).map(json.dumps)))
@example(
    '{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": "x", "object": {}}}]}'
)
@example('{"processing_type": {}}')
def test_a_message_is_jobs_or_a_terminal_error(body: str) -> None:
    try:
        parsed = parse(body, DEFAULTS)
    except TerminalError as error:
        assert len(str(error)) < 5_000
        return
    for job in parsed.jobs:
        assert isinstance(job, Job)
        assert getattr(job.manifest, "bucket", "input") == "input"


CSV = st.lists(
    st.sampled_from([b"creator", b"url", b",", b";", b"\t", b"|", b'"', b'""', b"\n", b"\r", b"\r\n", b"\0", b"http://x", b"a",
                     b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b\x08\0", "张".encode(), "张".encode("gb18030"), b" ", b"=1"])
    | st.binary(max_size=6),
    max_size=60,
).map(b"".join)  # fmt: skip


@PROFILE
@given(CSV, st.booleans(), st.sampled_from([None, "stem"]))
def test_a_manifest_is_rows_rejects_or_a_terminal_error(raw: bytes, headed: bool, group: str | None) -> None:
    data = (b"creator,url\n" if headed else b"") + raw
    try:
        lines = 0
        for batch in open_manifest(io.BytesIO(data), group=group, max_bytes=100_000).blocks():
            for entry in batch.entries:
                assert entry[0] == entry[0].strip() != ""
                assert entry[2][:5].lower() == "http:" or entry[2][:6].lower() == "https:"
                entry[0].encode()
                lines += 1
        assert lines
    except TerminalError as error:
        assert len(str(error)) < 5_000


@PROFILE
@given(URL_PARTS, URL_PARTS)
def test_a_url_is_ascii_with_a_plain_host_or_a_bad_one(text: str, location: str) -> None:
    redacted(text).encode("ascii", "backslashreplace")
    expired(text, 0.0)
    try:
        url = parse_image_url(text)
    except ImageError:
        url = ImageUrl("http://h/a", "http", "h", 80)
    assert url.text.isascii()
    assert not set(url.host) & set("/\\@?#%[] \t\n\0")
    assert 0 < url.port < 65_536
    host_is_allowed(url.host, ("*.example",))
    try:
        assert redirect_target(url, location).text.isascii()
    except ImageError as error:
        assert len(str(error)) < 1_000


@PROFILE
@given(st.ip_addresses(), st.booleans())
def test_an_address_has_an_answer(address: Any, local: bool) -> None:
    why = refusal(address, allow_private=local)
    assert why is None or why
    if not local and why is None:
        assert address.is_global or address.version == 6


@PROFILE
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Za-z]{3} [0-9]{1,6} [0-9:]{1,10} ?[A-Z+0-9-]{0,6}"))
@example("Thu, 01 Jan 99999 00:00:00 GMT")
@example("9" * 400)
def test_retry_after_is_seconds_or_nothing(header: str) -> None:
    asked = seconds_asked(header, 0.0)
    assert asked is None or asked >= 0


ODD_SAMPLINGS = tuple((luma, (1, 1), (1, 1)) for luma in ((4, 2), (2, 4), (1, 4), (4, 1), (3, 1)))
FILES = [
    *corpus.CUT.values(),
    encoded(photo(32, 32), "PNG", compress_level=0),
    corpus.ycck(),
    corpus.interlaced(),
    *(jpeg(photo(113, 64), sampling) for sampling in ODD_SAMPLINGS),
    *(path.read_bytes() for path in sorted((ROOT / "tests/cases/images").glob("*.[ah][ve]*"))),
    *(jpeg(photo(64, 48), sampling, scans=PROGRESSION) for sampling in ODD_SAMPLINGS[:2]),
]


@PROFILE
@given(st.data())
def test_damaged_files_are_cells_or_image_errors(data: st.DataObject) -> None:
    """Parts of sound files, exchanged, doubled, cut and overwritten: nearer to a decoder's depths than noise."""
    raw = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        kind = data.draw(st.sampled_from(["flip", "set", "cut", "double", "splice"]))
        if kind == "flip" and raw:
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "set" and raw:
            raw[at : at + 4] = data.draw(
                st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"])
            )
        elif kind == "cut":
            del raw[at : at + data.draw(st.integers(1, 200))]
        elif kind == "double":
            raw[at:at] = raw[at : at + data.draw(st.integers(1, 500))]
        else:
            other = data.draw(st.sampled_from(FILES))
            raw[at:] = other[data.draw(st.integers(0, len(other))) :]
    sound_or_refused(bytes(raw))


@PROFILE
@given(
    st.binary(max_size=200),
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b""]),
)
def test_noise_behind_a_magic_number_is_a_cell_or_an_image_error(noise: bytes, magic: bytes) -> None:
    sniffed_format(magic + noise)
    webp_canvas(magic + noise)
    sound_or_refused(magic + noise)


def sound_or_refused(data: bytes) -> None:
    """Make a cell with whatever memory holds, twice: it has to be the same, or refused with the same reason."""
    one, other = fate(data, 0x11), fate(data, 0xC3)
    assert one == other


def fate(data: bytes, filling: int) -> Cell | ImageReason:
    fill_memory(filling)
    try:
        cell = make_cell(data, SPEC)
    except ImageError as error:
        assert len(str(error)) < 500
        return error.reason
    finally:
        fill_memory(0)
    assert len(cell.pixels) == 16 * 16 * 3
    return cell


@PROFILE
@given(st.text(max_size=300))
def test_a_name_is_a_safe_key_and_safe_markup(name: str) -> None:
    key = safe_name(name)
    assert set(key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%~")
    assert len(key) <= 200
    assert key not in {".", ".."}
    told = shown(name, 120)
    told.encode()
    assert not set(told) & set("\x00\x1b\u202e\u2066")
    assert len(shown("z" * len(name), 120)) <= 120
    block = in_script([name])
    assert not set(block) & set("<>&\u2028\u2029")
    assert json.loads(block) == [name]
