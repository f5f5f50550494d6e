"""From text to JSON values, each with the number it is counted by, in bounded memory and linear time.

Values are lines (JSON Lines), elements of an array, or texts one behind the other, as `jq` prints them. Each is decoded
by itself with the standard library's decoder, once all of it is there, so a bad one costs itself and no other. Of
numbers the digits are given, as text: 6785180123456789012 does not fit into what other readers make of it.

The bounds: a value has at most `MAX_VALUE` characters; a longer one is passed over without being held. What was looked
at in vain is never looked at again: after a fault, the search for the next value goes on behind it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from worker.errors import RejectReason
from worker.manifest.csv_records import MAX_LINE, split_lines
from worker.manifest.encodings import BAD
from worker.model import Reject

MAX_VALUE = MAX_LINE
"""Characters of one value."""

Numbered = tuple[int, dict[str, Any]]
"""The number that an object is counted by (its line, or its place in the array, both from 1), and the object.

Its values are texts, booleans, None, and lists and objects of them."""

_NEAR = 16  # characters: a value that is cut within a word or an escape is complained about so far before its end
_MUCH = 8_192
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_STRAY = {"}": re.compile(r"[}:\s,]*"), ":": re.compile(r"[}:\s,]*"), "]": re.compile(r"[\]\s,]*")}
_TOKEN = re.compile(r'["\[\]{}\n,]')
_IN_QUOTES = re.compile(r'["\n]|\\.?', re.DOTALL)

_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _nan_or_infinity: None)


def lines_of_json(pieces: Iterable[str], *, damaged: bool = False) -> Iterator[Numbered | Reject]:
    """Give the objects of JSON Lines; an empty line is an object without keys.

    In `damaged` text, here and below, a value with bytes that are no text is a reject.
    """
    decode, number = _decoder.decode, 0
    for block in split_lines(pieces):
        for line in block:
            number += 1
            try:
                value = decode(line)
            except (json.JSONDecodeError, RecursionError) as error:
                yield _tolerated(number, line, error)
            else:
                yield _object(number, value, bad=damaged and BAD in line)


def _tolerated(number: int, line: str, error: Exception) -> Numbered | Reject:
    """Take an empty line, and one with a comma at its end or a byte order mark at its beginning; refuse any other."""
    text = line.strip("\ufeff\t\r\n ,")
    if not text:
        return number, {}
    if len(line) > MAX_VALUE:
        return _too_long(number)
    if text != line.strip():
        try:
            value = _decoder.decode(text)
        except (json.JSONDecodeError, RecursionError) as failure:
            error = failure
        else:
            return _object(number, value, bad=False)
    return _refused(number, error, getattr(error, "pos", 0))


def is_object(text: str) -> bool:
    """Say whether the text is one object, with nothing before it."""
    try:
        return text.startswith("{") and type(_decoder.decode(text)) is dict
    except (json.JSONDecodeError, RecursionError):
        return False


def array_of_json(pieces: Iterable[str], *, damaged: bool = False) -> Iterator[Numbered | Reject]:
    """Give the elements of an array, or of several behind one another; an element's number is its place, from 1."""
    return _Values(pieces, damaged=damaged).elements()


def texts_of_json(pieces: Iterable[str], *, damaged: bool = False) -> Iterator[Numbered | Reject]:
    """Give objects that stand one behind the other, over as many lines as they like, numbered by lines."""
    return _Values(pieces, damaged=damaged).texts()


class _Values:
    """The text that is looked at, from `_at` on. `_dropped` characters came before it, `_line` is where `_at` is."""

    def __init__(self, pieces: Iterable[str], *, damaged: bool) -> None:
        self._pieces = iter(pieces)
        self._damaged = damaged
        self._text = ""
        self._at = 0
        self._dropped = 0
        self._line = 1
        self._before = "\n"  # white space and commas before a value, the last of them
        self._whole = True  # the last value was not cut off by the end of the text

    def elements(self) -> Iterator[Numbered | Reject]:
        number, within = 0, False
        while (char := self._next()) is not None:
            if char in "[]" and within == (char == "]"):
                within = not within
                self._pass(self._at + 1)
                self._before = "\n"
            else:
                number += 1
                yield self._value(number)
        if within and self._whole:
            yield _cut(number + 1)

    def texts(self) -> Iterator[Numbered | Reject]:
        while self._next() is not None:
            yield self._value(self._line)

    def _next(self) -> str | None:
        """Go to the next character that is neither white space nor a comma; None where there is none."""
        while True:
            between = _BETWEEN.match(self._text, self._at)
            end = between.end() if between else self._at
            self._before = (self._before + self._text[self._at : end])[-_NEAR:]
            self._pass(end)
            if end < len(self._text):
                return self._text[end]
            if not self._more():
                return None

    def _value(self, number: int) -> Numbered | Reject:
        """Decode the value that begins here, as soon as all of it is there, and go behind it."""
        _, begins_line, indent = self._before.rpartition("\n")
        self._before = ""
        if (stray := self._text[self._at]) in _STRAY:
            self._pass_all(_STRAY[stray])
            return Reject(number, RejectReason.BAD_JSON, f"there is a {stray} where an object should begin")
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
            except RecursionError as error:
                return self._passed_over(_refused(number, error))
            except json.JSONDecodeError as error:
                if not self._may_go_on(error):
                    return self._faulty(number, error, indent if begins_line else None)
            else:
                if end < len(self._text) or not self._more():  # a number may go on
                    bad = self._damaged and self._text.find(BAD, self._at, end) >= 0
                    self._pass(end)
                    return _object(number, value, bad=bad)

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Add a piece, where the value may be whole with it."""
        return self._is_near_end(error) and len(self._text) - self._at <= MAX_VALUE and self._more()

    def _is_near_end(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR

    def _faulty(self, number: int, error: json.JSONDecodeError, indent: str | None) -> Reject:
        """Pass over a value with a fault in it; `indent` is what stands before it, where it begins a line."""
        near = self._is_near_end(error)
        if near and len(self._text) - self._at > MAX_VALUE:
            return self._passed_over(_too_long(number))
        if near and (error.msg.startswith("Unterminated") or error.pos >= len(self._text.rstrip())):
            self._pass(len(self._text))
            self._whole = False
            return _cut(number)
        reject = _refused(number, error, error.pos - self._at)
        return self._passed_over(reject, self._dropped + error.pos, indent)

    def _passed_over(self, reject: Reject, fault: int = 0, indent: str | None = None) -> Reject:
        """Go to where the next value may begin, and give the reject back.

        That is where the brackets of this one are closed; or behind the `fault` (a place in the whole text), where an
        object begins a line that is indented as this one was. Where `indent` is None, brackets alone count.
        """
        if self._at > _MUCH:
            self._drop()
        start, depth = self._dropped + self._at, 0
        for here, char in self._structure():
            if depth == 0 and here > start and char in ",]{[":
                self._at -= 1
                break
            depth += (char in "[{") - (char in "]}")
            if char in "]}" and depth <= 0:
                break
            if char == "\n" and indent is not None and here >= fault and self._begins_as(indent):
                break
        else:
            self._whole = fault < self._dropped + len(self._text) - _NEAR  # else it is the end itself that is at fault
        return reject

    def _structure(self) -> Iterator[tuple[int, str]]:
        """Give brackets, commas and line ends that are in no quotes, and their places; each time, `_at` is behind it.

        No text of JSON has a line end in it: where one comes, the quote before was a stray one.
        """
        quoted = False
        while True:
            token = (_IN_QUOTES if quoted else _TOKEN).search(self._text, self._at)
            if token is None:
                self._pass(len(self._text) - (quoted and self._text.endswith("\\")))
                if not self._more():
                    return
                continue
            self._pass(token.end())
            char = token[0]
            if quoted:
                quoted = char[0] == "\\"
            elif char == '"':
                quoted = True
            if char == "\n" or not (quoted or char == '"'):
                yield self._dropped + token.start(), char

    def _begins_as(self, indent: str) -> bool:
        """Say whether the line that begins here begins with an object, indented as the one before."""
        while len(self._text) - self._at <= len(indent):
            if not self._more():
                return False
        self._before = "\n"
        return self._text.startswith(indent + "{", self._at)

    def _pass_all(self, run: re.Pattern[str]) -> None:
        while found := run.match(self._text, self._at):
            self._pass(found.end())
            if self._at < len(self._text) or not self._more():
                return

    def _pass(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Add the next piece; False at the end."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._drop()
        self._text += piece
        return True

    def _drop(self) -> None:
        """Let go of what lies behind: where it is much, each complaint of the decoder counts the lines in it."""
        self._dropped += self._at
        self._text = self._text[self._at :]
        self._at = 0


def _object(number: int, value: Any, *, bad: bool) -> Numbered | Reject:
    if type(value) is not dict:
        got = {list: "a list", str: "a text or a number", bool: "a truth value"}.get(type(value), "null")
        return Reject(number, RejectReason.BAD_JSON, f"it is {got}; each row is one object, {{...}}")
    if bad:
        text = "it holds bytes that are no text in the manifest's encoding"
        return Reject(number, RejectReason.BAD_ENCODING, text)
    return number, value


def _refused(number: int, error: Exception, at: int = 0) -> Reject:
    """Refuse a value for what the decoder says of it, which never quotes it; `at` is the character that is at fault."""
    if not isinstance(error, json.JSONDecodeError):
        return Reject(number, RejectReason.BAD_JSON, "objects and lists are nested too deeply in it; flatten it")
    text = f"it is not valid JSON: {error.msg} (at its character {at + 1}); correct it, or export it anew"
    return Reject(number, RejectReason.BAD_JSON, text)


def _cut(number: int) -> Reject:
    return Reject(number, RejectReason.BAD_JSON, "the file ends before it is complete; export it or upload it anew")


def _too_long(number: int) -> Reject:
    text = f"it has more than the {MAX_VALUE} characters that one row may have; where it is an object around the rows"
    return Reject(number, RejectReason.FIELD_TOO_LONG, f"{text}, save the list in it alone (jq -c '.items[]')")
