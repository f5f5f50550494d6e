"""JSON text → numbered objects and rejects: a bad one costs itself, whatever the pieces are that the text comes in."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import RejectReason
from worker.manifest.encodings import BAD
from worker.manifest.json_values import MAX_VALUE, array_of_json, is_object, lines_of_json, texts_of_json
from worker.model import Reject

Reader = Callable[[Iterable[str]], Iterator[Any]]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def read(reader: Reader, text: str) -> list[Any]:
    """What a reader makes of a text in one piece, which has to be the same as of one in many; rejects as numbers."""
    found = [list(reader(pieces(text, size))) for size in (max(1, len(text)), 1, 2, 3, 7)]
    assert all(each == found[0] for each in found)
    return [-each.line if isinstance(each, Reject) else each for each in found[0]]


def details(reader: Reader, text: str) -> list[str]:
    return [each.detail for each in reader([text]) if isinstance(each, Reject)]


# -- lines


def test_each_line_is_an_object_and_a_bad_one_costs_itself() -> None:
    text = '{"a": "x"}\n{"a": oops}\n\n["a"]\nnull\n"a"\n7\n{"a": "y"} {"a": "z"}\n{"a": "w"}'
    assert read(lines_of_json, text) == [(1, {"a": "x"}), -2, (3, {}), -4, -5, -6, -7, -8, (9, {"a": "w"})]


def test_a_comma_behind_a_line_and_marks_and_white_space_around_it_do_no_harm() -> None:
    assert read(lines_of_json, '\ufeff{"a":"1"},\n  {"a":"2"} ,\n\t{"a":"3"}\n') == [
        (number, {"a": str(number)}) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("reader", [lines_of_json, array_of_json, texts_of_json])
def test_numbers_keep_their_digits_and_what_is_no_number_is_no_value(reader: Reader) -> None:
    digits = ["6785180123456789012", "-0", "1.10", "6.78518E+18", "9" * 5_000]
    text = f'{{"n": [{", ".join(digits)}], "no": [NaN, Infinity, -Infinity, null], "yes": true}}\n'
    text = f"[{text}]" if reader is array_of_json else text
    assert read(reader, text) == [(1, {"n": digits, "no": [None] * 4, "yes": True})]


def test_of_a_key_that_comes_twice_the_last_value_counts() -> None:
    assert read(lines_of_json, '{"a": 1, "a": 2}') == [(1, {"a": "2"})]


# -- arrays


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ("[ \n ]", []),
        ('[{"a":"1"},{"b":["]}",{"c":"\\"}"}]}]', [(1, {"a": "1"}), (2, {"b": ["]}", {"c": '"}'}]})]),
        ('[{"a":"1"},null,2,"x",[{"z":"1"}],{"a":"2"}]', [(1, {"a": "1"}), -2, -3, -4, -5, (6, {"a": "2"})]),
        ('[{"a":},{"a":"2"}]', [-1, (2, {"a": "2"})]),
        ('[{"a":[{"b":\'c\'}]},{"a":"2"}]', [-1, (2, {"a": "2"})]),
        ('[{"a":"\\x41}"},{"a":"2"}]', [-1, (2, {"a": "2"})]),
        ('[{"a":"\\"} oops,{"a":"2"},{"a":"3"},{"a":"4"}]', [-1, -2]),  # a quote is not closed
        ('[oops,{"a":"2"} {"a":"3"}]', [-1, (2, {"a": "2"}), (3, {"a": "3"})]),
        ('[{"a":"1"}}]', [(1, {"a": "1"}), -2]),
        ('[{"a":"1"}]\n[{"a":"2"}]', [(1, {"a": "1"}), (2, {"a": "2"})]),
        ('[{"a":"1"}]]', [(1, {"a": "1"}), -2]),
        ('[{"a":"1"},]', [(1, {"a": "1"})]),
    ],
)
def test_each_element_is_an_object_and_a_bad_one_costs_itself(text: str, expected: list[Any]) -> None:
    assert read(array_of_json, text) == expected


@pytest.mark.parametrize("end", ["", ",", ',{"a"', ',{"a":', ',{"a":"x', ',{"a":tr', ',{"a":"x\\'])
def test_an_array_that_is_cut_off_gives_what_it_has_and_says_so_once(end: str) -> None:
    assert read(array_of_json, '[{"a":"1"}' + end) == [(1, {"a": "1"}), -2]


@pytest.mark.parametrize("indent", ["", "  ", "\t"])
def test_a_quote_that_is_not_closed_costs_its_element_where_elements_begin_lines(indent: str) -> None:
    elements = ['{"a": "1"}', '{"a": "2}', '{"a": "3"}', '{"a":\n' + indent + '  {"b": "4"}\n' + indent + "}"]
    text = "[\n" + ",\n".join(indent + each for each in elements) + "\n]"
    assert read(array_of_json, text) == [(1, {"a": "1"}), -2, (3, {"a": "3"}), (4, {"a": {"b": "4"}})]


def test_what_stands_in_an_element_before_its_fault_is_no_element() -> None:
    text = '[\n{"a": [\n{"b": "1"},\noops]},\n{"a": "2"}\n]'
    assert read(array_of_json, text) == [-1, (2, {"a": "2"})]


# -- texts one behind the other


def test_objects_over_several_lines_are_numbered_by_the_line_that_they_begin_on() -> None:
    text = '{\n "a": "1"\n}\n{\n "a": oops\n}\n{"a":\n"3"}{"a": "4"}\n7\n'
    assert read(texts_of_json, text) == [(1, {"a": "1"}), -4, (7, {"a": "3"}), (8, {"a": "4"}), -9]


# -- whatever


keys = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
tables = st.lists(st.dictionaries(keys, values, max_size=4), max_size=6)
cuts = st.integers(min_value=1, max_value=40)


@given(tables, cuts, st.booleans(), st.sampled_from([None, 0, 2, "\t"]), st.sampled_from([None, (",", ":")]))
def test_what_json_writes_comes_back(
    table: list[Any], cut: int, ascii_only: bool, indent: Any, separators: Any
) -> None:
    def written(value: object, indent: Any = None) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)

    filled = [each for each in table if each]
    lines = "\n".join(map(written, table))
    assert [each[1] for each in lines_of_json(pieces(lines, cut)) if each[1]] == filled
    assert [each[1] for each in array_of_json(pieces(written(table, indent), cut))] == table
    assert [each[1] for each in texts_of_json(pieces("\n".join(written(each, indent) for each in table), cut))] == table


@given(st.text(alphabet='[]{}",:\\ \nab1', max_size=60), cuts)
@settings(max_examples=500)
def test_whatever_comes_is_read_to_its_end_and_the_same_in_any_pieces(text: str, cut: int) -> None:
    for reader in (lines_of_json, array_of_json, texts_of_json):
        assert list(reader(pieces(text, cut))) == list(reader([text]))


# -- what attackers do


def test_bytes_that_are_no_text_cost_the_value_that_holds_them() -> None:
    bad, good = f'{{"a": "{BAD}"}}', '{"a": "1"}'
    for reader, text in ((lines_of_json, f"{bad}\n{good}"), (array_of_json, f"[{bad},{good}]")):
        first, second = reader([text], damaged=True)
        assert isinstance(first, Reject)
        assert first.reason is RejectReason.BAD_ENCODING
        assert second == (2, {"a": "1"})


@pytest.mark.parametrize("reader", [array_of_json, texts_of_json, lines_of_json])
@pytest.mark.parametrize(("opening", "middle", "closing"), [("[", "", "]"), ('{"a":', "1", "}")])
def test_ten_thousand_levels_are_a_reject_that_says_so(reader: Reader, opening: str, middle: str, closing: str) -> None:
    deep = opening * 10_000 + middle + closing * 10_000
    text = f'[{deep},{{"a":"1"}}]' if reader is array_of_json else f'{{"a":{deep}}}\n{{"a":"1"}}'
    first, second = reader(pieces(text, 4_096))
    assert "nested too deeply" in first.detail
    assert second == (2, {"a": "1"})


@pytest.mark.parametrize("reader", [array_of_json, texts_of_json, lines_of_json])
def test_a_value_beyond_the_limit_is_passed_over_and_its_length_is_told(reader: Reader) -> None:
    long = '{"a": "' + "x" * (3 * MAX_VALUE) + '"}'
    text = f'[{long},{{"a":"1"}}]' if reader is array_of_json else f'{long}\n{{"a":"1"}}'
    first, second = reader(pieces(text, 65_536))
    assert (first.line, first.reason) == (1, RejectReason.FIELD_TOO_LONG)
    assert str(MAX_VALUE) in first.detail
    assert second == (2, {"a": "1"})


@pytest.mark.parametrize(
    "unit",
    ['{"a":oops},', '{"a":"x},\n', '{"a":[\n', '{"a":[', '"', '{"', '{"a\n', "}", "]", "[", '{"\\', "\n{", '{"a":"x"'],
)
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        began = time.process_time()
        for _ in array_of_json(["[", *pieces(unit * (length // len(unit)), 262_144)]):
            pass
        return time.process_time() - began

    small, large = 65_536, 8 * 65_536
    assert seconds(large) < 24 * seconds(small) + 0.2


def test_what_is_said_of_bad_json_never_quotes_it() -> None:
    secret = '[{"a": "http://x/?x-signature=s3cr3t", oops}]'
    assert all("s3cr3t" not in each for each in details(array_of_json, secret) + details(lines_of_json, secret))


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a": 1}', True), (' {"a": 1}', False), ("{}", True), ('{"a": 1},', False), ("[]", False), ("{", False)],
)
def test_an_object_is_one_from_the_first_character_on(text: str, expected: bool) -> None:
    assert is_object(text) is expected
