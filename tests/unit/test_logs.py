"""Logs: their shape, what is bound to them, and that no signature gets into them."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.logs import configure, without_signatures

SIGNED = "https://p16-sign-va.tiktokcdn.com/obj/a.jpeg?x-expires=1737288000&x-signature=TOPSECRET%3D&t=1"
PRESIGNED = (
    "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=TOPSECRET%2F20250119"
    "&X-Amz-Security-Token=TOPSECRET&X-Amz-Signature=TOPSECRET"
)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, worker = logging.getLogger(), logging.getLogger("worker")
    saved, handlers, levels = structlog.get_config(), root.handlers[:], (root.level, worker.level)
    yield
    logging.captureWarnings(capture=False)
    structlog.configure(**saved)
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    worker.setLevel(levels[1])


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "stdout is for results and metrics"
    return [json.loads(line) for line in captured.err.splitlines()]


def logger() -> Any:
    return structlog.get_logger("worker.test_logs")


def test_a_line_is_json_with_event_level_time_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    logger().info("creator.finished", images=35, errors={"expired": 2}, name="José")
    (line,) = written(capsys)
    stamp = line.pop("timestamp")
    assert stamp.endswith("Z")
    assert line == {
        "event": "creator.finished",
        "level": "info",
        "images": 35,
        "errors": {"expired": 2},
        "name": "José",
    }


def test_what_is_bound_to_the_context_is_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    with structlog.contextvars.bound_contextvars(batch_id="b1", message_id="m1", creator="ann"):
        logger().info("one")
        logging.getLogger("worker.elsewhere").info("two")
    logger().info("three")
    one, two, three = written(capsys)
    assert {"batch_id": "b1", "message_id": "m1", "creator": "ann"}.items() <= one.items() & two.items()
    assert "batch_id" not in three


def test_levels_below_the_asked_one_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "json")
    logger().info("quiet")
    logger().warning("loud")
    logging.getLogger("botocore").info("chatter")
    assert [line["event"] for line in written(capsys)] == ["loud"]


def test_other_libraries_and_python_warnings_come_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    logging.getLogger("aiohttp").warning("closed %s", SIGNED)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("be careful", UserWarning, stacklevel=1)
    first, second = written(capsys)
    assert first["event"].startswith("closed https://p16")
    assert "TOPSECRET" not in str(first)
    assert "be careful" in second["event"]


class Opaque:
    def __str__(self) -> str:
        return SIGNED

    __repr__ = __str__


VALUES: list[Any] = [
    SIGNED,
    PRESIGNED,
    {"url": SIGNED},
    {"deep": [{"er": (SIGNED,)}]},
    [SIGNED],
    (SIGNED,),
    {SIGNED},
    {SIGNED: 1},
    ValueError(f"GET {SIGNED} failed"),
    Opaque(),
    [Opaque()],
    SIGNED.encode(),
]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_signature_in_any_value_is_masked(form: Any, value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", form)
    logger().info("image.failed", value=value)
    text = capsys.readouterr().err
    assert "TOPSECRET" not in text
    assert "=***" in text


def fail_twice() -> None:
    try:
        open("/nowhere?x-signature=TOPSECRET")  # noqa: PTH123, SIM115 -- it never opens
    except OSError as error:
        raise ValueError(f"GET {PRESIGNED}") from error


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("of", ["structlog", "logging"])
def test_a_signature_in_an_exception_is_masked(form: Any, of: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", form)
    try:
        fail_twice()
    except ValueError:
        if of == "structlog":
            logger().exception("it.failed")
        else:
            logging.getLogger("aiohttp.server").exception("it.failed")
    text = capsys.readouterr().err
    assert "TOPSECRET" not in text
    assert "ValueError" in text
    assert "nowhere" in text
    assert "***" in text


def test_an_exceptions_local_variables_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    secret_key = "hunter2"
    try:
        fail(f"a key of {len(secret_key)} letters")
    except ValueError:
        logger().exception("it.failed")
    assert "hunter2" not in capsys.readouterr().err


def test_an_exception_is_one_line_with_its_type_and_frames(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    try:
        fail("no good")
    except ValueError:
        logger().exception("it.failed")
    (line,) = written(capsys)
    (told,) = line["exception"]
    assert (told["exc_type"], told["exc_value"]) == ("ValueError", "no good")
    assert told["frames"][-1]["name"] == "fail"


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "console")
    logger().info("creator.finished", images=35)
    text = capsys.readouterr().err
    assert "creator.finished" in text
    assert "images=35" in text
    assert not text.startswith("{")


def test_a_stderr_that_is_no_terminal_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "auto")
    logger().info("creator.finished")
    assert written(capsys)[0]["event"] == "creator.finished"


def test_configuring_again_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    configure("info", "json")
    logger().info("once")
    assert len(written(capsys)) == 1


def test_what_is_no_secret_stays_readable() -> None:
    masked = without_signatures(SIGNED)
    assert masked == "https://p16-sign-va.tiktokcdn.com/obj/a.jpeg?x-expires=1737288000&x-signature=***&t=1"


@settings(deadline=None)
@given(
    st.sampled_from(["x-signature", "X-Amz-Signature", "Signature", "sign", "token", "X-Amz-Credential", "auth_key"]),
    st.text("abcdefXYZ0123456789%+/=._-", min_size=1),
    st.sampled_from(["", "&more=1", '" end', "' end", "> end", " end"]),
)
def test_whatever_a_signature_looks_like_it_is_masked(name: str, value: str, rest: str) -> None:
    assert without_signatures(f"see https://h/p?a=1&{name}={value}{rest}") == f"see https://h/p?a=1&{name}=***{rest}"
