"""Nothing secret is left in a text, whatever form it stands in, and nothing else is taken out."""

import io
import json
import logging
import time

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.terminal import SafeConsole
from worker.logs import configure
from worker.masks import SECRETS, visible, without_signatures


@pytest.mark.parametrize(
    "text",
    [
        "https://h/a?x-expires=1&x-signature=SECRET%2Fa",
        "https://h/a?Signature=SECRET",
        "https://h/a?X-Amz-Signature=SECRET&X-Amz-Credential=SECRET",
        "https://h/a?sig=SECRET&se=2025",
        "https://h/a?Policy=SECRET~_&Key-Pair-Id=K",
        "https://h/a?hdnts=exp=1~acl=/*~hmac=SECRET",
        "https://h/a?oh=SECRET&oe=65",
        "https://user:SECRET@h/a",
        "https://SECRET@h/a",
        "x-signature%3DSECRET",
        "x-signature\\u003dSECRET\\u0026b=1",
        "x-signature\\u003dSECRET",
        "a piece of one: gnature=1&x-signature=SECRET",
        '{"SecretAccessKey": "SECRET", "x-signature" : "SECRET"}',
        "api_key=SECRET",
        "AKIASECRETSECRETSECR ASIASECRETSECRETSECR",
    ],
)
def test_a_secret_is_masked(text: str) -> None:
    assert "SECRET" not in without_signatures(text)
    assert "***" in without_signatures(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://h/a.jpg answered HTTP 404; an image comes with 200",
        "rows is 0; it should be greater than or equal to 1",
        "s3://bucket/collages/by-creator/a%3Db/collage_20250119_120000.jpg",
        "mail an@example.com, and see https://h/@ann/1",
        "https://h/a?x-expires=1737288000&t=1&monkey=1",
        "https://h/a?x-signature=*** is masked already",
    ],
)
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert without_signatures(text) == text


PIECES = [
    "sign",
    "token",
    "=",
    "%3d",
    "%3D",
    "\\u003D",
    "?",
    "&",
    "st",
    '"',
    ":",
    " ",
    "://",
    "@",
    "AKIA",
    "ASIA",
    "A1B2C3D4E5F6G7H8",
]


@given(pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12))
def test_every_text_that_may_hold_a_secret_is_looked_through(pieces: list[str]) -> None:
    masked = text = "".join(pieces)
    for pattern, instead in SECRETS:
        masked = pattern.sub(instead, masked)
    assert without_signatures(text) == masked


@pytest.mark.parametrize("piece", ["sign", "?a=", "://", "token=", '"secret":"', "AKIA", "a&b=c", "://a", "%3d"])
def test_a_long_text_costs_time_in_proportion(piece: str) -> None:
    began = time.process_time()
    without_signatures(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 3


DRIVING = "a\x1b]0;title\x07 \x9b31m \u202egnp.exe \u2066 \x7f"


def test_nothing_drives_a_terminal_or_turns_its_text() -> None:
    assert visible(DRIVING).isprintable()
    assert visible("two\nlines\tand é 张 😀") == "two\nlines\tand é 张 😀"


def test_commands_print_no_control_characters() -> None:
    file = io.StringIO()
    SafeConsole(file=file, force_terminal=True).print(f"source {DRIVING}", markup=False)
    assert "\x1b]" not in file.getvalue()
    assert not set(file.getvalue()) & {"\x07", "\x9b", "\u202e", "\x7f"}


@pytest.mark.parametrize("form", ["console", "json"])
def test_log_lines_hold_no_control_characters(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", form)  # type: ignore[arg-type]
    logging.getLogger("worker").warning(DRIVING)
    structlog.get_logger("worker").info("creator.finished", creator=DRIVING)
    told = capsys.readouterr().err
    assert form == "console" or [json.loads(line).get("creator") for line in told.splitlines()] == [None, DRIVING]
    assert "gnp.exe" in told
    assert told.replace("\n", "").isprintable()
