"""What answers mean, from servers on loopback that answer byte by byte what a test says."""

import pytest

from tests.unit.byte_origin import (
    IMAGE,
    MAX_BYTES,
    NOW,
    Origin,
    failure,
    fetch,
    reply,
)
from worker.download.http_answers import reason_for_status, seconds_asked
from worker.errors import ImageReason

pytestmark = pytest.mark.usefixtures("only_loopback")


ANSWERS: dict[str, tuple[bytes, ImageReason, bool]] = {
    "400": (reply(400), ImageReason.BAD_URL, False),
    "401": (reply(401), ImageReason.FORBIDDEN, False),
    "402": (reply(402), ImageReason.FORBIDDEN, False),
    "403": (reply(403), ImageReason.FORBIDDEN, False),
    "404": (reply(404), ImageReason.NOT_FOUND, False),
    "407": (reply(407), ImageReason.FORBIDDEN, False),
    "408": (reply(408), ImageReason.TIMEOUT, True),
    "410": (reply(410), ImageReason.NOT_FOUND, False),
    "414": (reply(414), ImageReason.BAD_URL, False),
    "418": (reply(418), ImageReason.FORBIDDEN, False),
    "429": (reply(429), ImageReason.RATE_LIMITED, True),
    "451": (reply(451), ImageReason.FORBIDDEN, False),
    "500": (reply(500), ImageReason.SERVER_ERROR, True),
    "501": (reply(501), ImageReason.SERVER_ERROR, False),
    "502": (reply(502), ImageReason.SERVER_ERROR, True),
    "503": (reply(503), ImageReason.SERVER_ERROR, True),
    "504": (reply(504), ImageReason.SERVER_ERROR, True),
    "505": (reply(505), ImageReason.SERVER_ERROR, False),
    "599": (reply(599), ImageReason.SERVER_ERROR, True),
    "999": (reply(999), ImageReason.SERVER_ERROR, False),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "204": (b"HTTP/1.1 204 None\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "206 without a range": (reply(206), ImageReason.SERVER_ERROR, False),
    "206 of a beginning": (reply(206, "Content-Range: bytes 0-9/11"), ImageReason.SERVER_ERROR, False),
    "206 of an end": (reply(206, "Content-Range: bytes 1-9/10"), ImageReason.SERVER_ERROR, False),
    "206 of who knows how much": (reply(206, "Content-Range: bytes 0-9/*"), ImageReason.SERVER_ERROR, False),
    "206 in parts": (reply(206, kind="multipart/byteranges; boundary=x"), ImageReason.SERVER_ERROR, False),
    "300": (reply(300), ImageReason.SERVER_ERROR, False),
    "304": (b"HTTP/1.1 304 Same\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "302 without a Location": (reply(302), ImageReason.SERVER_ERROR, False),
    "302 with an empty Location": (reply(302, "Location:"), ImageReason.SERVER_ERROR, False),
    "302 to ftp": (reply(302, "Location: ftp://host/"), ImageReason.BAD_URL, False),
    "302 to a file": (reply(302, "Location: file:///etc/passwd"), ImageReason.BAD_URL, False),
    "302 with a user": (reply(302, "Location: http://user:pass@127.0.0.1/"), ImageReason.BAD_URL, False),
    "302 to a number": (reply(302, "Location: http://2852039166/latest"), ImageReason.BAD_URL, False),
    "302 to bytes that are no text": (reply(302, "Location: /\xff\xfe"), ImageReason.BAD_URL, False),
    "302 to an expired link": (reply(302, f"Location: /b?x-expires={NOW - 1:.0f}"), ImageReason.EXPIRED, False),
    "brotli": (reply(200, "Content-Encoding: br"), ImageReason.UNSUPPORTED_ENCODING, False),
    "zstandard": (reply(200, "Content-Encoding: zstd"), ImageReason.UNSUPPORTED_ENCODING, False),
    "packed twice": (reply(200, "Content-Encoding: gzip, gzip"), ImageReason.UNSUPPORTED_ENCODING, False),
    "empty body": (reply(body=b""), ImageReason.NOT_AN_IMAGE, False),
    "too long by its own account": (reply(length=MAX_BYTES + 1), ImageReason.TOO_LARGE, False),
    "huge by its own account": (reply(length=10**18), ImageReason.TOO_LARGE, False),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "bad status": (b"HTTP/1.1 abc\r\n\r\n", ImageReason.SERVER_ERROR, False),
    "huge header": (reply(200, "X: " + "x" * 100_000), ImageReason.SERVER_ERROR, False),
    "too many headers": (reply(200, *["X: x"] * 5_000), ImageReason.SERVER_ERROR, False),
    "two lengths": (reply(200, "Content-Length: 5"), ImageReason.SERVER_ERROR, False),
    "a list of lengths": (reply(200, "Content-Length: 5, 6"), ImageReason.SERVER_ERROR, False),
    "negative length": (reply(length=-1), ImageReason.SERVER_ERROR, False),
    "disconnect": (b"", ImageReason.CONNECT, True),
}


@pytest.mark.parametrize(("answer", "reason", "transient"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_has_its_reason_and_is_asked_for_again_only_where_that_may_help(
    origin: Origin, answer: bytes, reason: ImageReason, transient: bool
) -> None:
    origin.answers = [answer]
    error = await failure(origin.url("/a?x-signature=s3cret"), max_retries=2)
    assert (error.reason, error.transient) == (reason, transient)
    assert len(origin.heads) == (3 if transient else 1)
    assert "s3cret" not in str(error)
    assert str(error).isprintable()
    assert error.__cause__ is None, "aiohttp's own texts hold the signature"


async def test_a_part_that_is_the_whole_file_is_the_file(origin: Origin) -> None:
    origin.answers = [reply(206, f"Content-Range: bytes 0-{len(IMAGE) - 1}/{len(IMAGE)}")]
    assert (await fetch(origin.url())).body == IMAGE


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_refuses_may_want_other_headers(origin: Origin, status: int) -> None:
    origin.answers = [reply(status)]
    error = await failure(origin.url())
    assert "REFERER" in str(error)
    assert "USER_AGENT" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Sun, 99 Jan 2025 12:00:00 GMT", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, float("inf")),
        ("Sun, 19 Jan 2025 12:00:30 GMT", 30.0),
        ("Sunday, 19-Jan-25 12:00:30 GMT", 30.0),
        ("Sun, 19 Jan 2025 12:00:30 -0000", 30.0),
        ("Sun, 19 Jan 2025 11:00:00 GMT", 0.0),
        ("Mon, 19 Jan 2026 12:00:00 GMT", 365 * 86_400.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_asked(header, NOW) == seconds


def test_every_status_has_a_meaning() -> None:
    for status in range(300, 1000):
        reason, transient = reason_for_status(status)
        assert transient is (status in (408, 429) or (500 <= status <= 599 and status not in (501, 505)))
        assert (reason is ImageReason.SERVER_ERROR) is not (400 <= status <= 499)
