"""Repeated Content-Length lines, and heads that arrive in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.download.content_length import LengthsOnce, is_in_order

ONE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"
TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\ncontent-length:5\r\n\r\nhello"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("told", [ONE, ONE.replace(b"Content-Length: 5\r\n", b""), ONE.replace(b"y", b"y, z") + TWO])
def test_most_heads_are_in_order(told: bytes) -> None:
    assert is_in_order(told)


@pytest.mark.parametrize("told", [TWO, ONE[:40], ONE.replace(b"5", b"5, 5"), INTERIM + ONE, b"SSH-2.0\r\n\r\n", b""])
def test_the_other_heads_are_looked_at_line_by_line(told: bytes) -> None:
    assert not is_in_order(told)


def fed(*parts: bytes) -> bytes:
    lengths = LengthsOnce()
    return b"".join(lengths.feed(part) for part in parts if part)


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (ONE, ONE),
        (TWO, ONE),
        (TWO.replace(b"\r\n", b"\n"), ONE.replace(b"\r\n", b"\n")),
        (ONE.replace(b"5", b"5, 5 ,5"), ONE),
        (INTERIM + TWO, INTERIM + ONE),
        (INTERIM * 3 + TWO, INTERIM * 3 + ONE),
    ],
)
def test_the_same_length_is_seen_once(told: bytes, seen: bytes) -> None:
    assert fed(told) == seen


@pytest.mark.parametrize(
    "told",
    [
        TWO.replace(b"length:5", b"length:6"),
        TWO.replace(b"length:5", b"length:05"),
        ONE.replace(b"5", b"5, 6"),
        ONE.replace(b"5", b"-5"),
        ONE.replace(b"5", b"+5, +5"),
        ONE.replace(b"5", b"5,"),
        ONE.replace(b"5", b""),
        ONE + b"\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
def test_whatever_else_there_is_stays_as_it_is(told: bytes) -> None:
    assert fed(told) == told


@given(told=st.sampled_from([ONE, TWO, INTERIM + TWO]), cuts=st.lists(st.integers(0, 140), max_size=8))
def test_how_an_answer_is_cut_makes_no_difference(told: bytes, cuts: list[int]) -> None:
    marks = [0, *sorted(min(cut, len(told)) for cut in cuts), len(told)]
    assert fed(*(told[a:b] for a, b in pairwise(marks))) == fed(told)


@given(parts=st.lists(st.binary(min_size=1, max_size=40), max_size=10))
def test_noise_comes_out_as_it_went_in_but_for_a_line_without_end(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert whole.startswith(fed(*parts))
    assert len(whole) - len(fed(*parts)) <= 8_192


def test_a_line_without_end_is_passed_on_for_the_parser_to_refuse() -> None:
    assert len(fed(b"HTTP/1.1 200 OK\r\nX: ", *[b"x" * 1_000] * 20)) > 8_192
