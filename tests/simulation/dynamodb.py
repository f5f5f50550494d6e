"""DynamoDB in memory, as far as the state table uses it: conditions, updates, transactions, each at once.

`changed` is told of every write that took place: what stood there, what stands there now, and who wrote it.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from tests.simulation.clock import Life

Item = dict[str, Any]
Test = Callable[[Item, Mapping[str, str], Mapping[str, Any]], bool]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),+]|[#:A-Za-z_][\w.]*)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def client_error(code: str, status: int, operation: str = "", *, message: str = "", **more: Any) -> ClientError:
    """Make what botocore raises for such an answer."""
    answer: Any = {
        "Error": {"Code": code, "Message": message or code},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return ClientError(answer, operation)


class DynamoDb:
    """One table. Each public method is an operation of the API, done in one go."""

    def __init__(
        self,
        changed: Callable[[Life | None, Item | None, Item], None] = lambda *_: None,
        *,
        now: Callable[[], float] = lambda: 0.0,
        index_lag: float = 0.0,
    ) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.too_large: set[tuple[str, str]] = set()
        """Creators and their batches, whose record with a collage is more than an item may hold."""
        self._changed = changed
        self._tokens: dict[str, str] = {}
        self._now = now
        self._lag = index_lag
        self._indexed: dict[tuple[str, str], Item] = {}
        self._unindexed: deque[tuple[float, Item]] = deque()

    def get_item(self, life: Life | None, *, Key: Item, **_: Any) -> Any:  # noqa: N803 -- as the API has it
        found = self.items.get(_key_of(Key))
        return {"Item": dict(found)} if found else {}

    def put_item(self, life: Life | None, *, Item: Item, **asked: Any) -> Any:  # noqa: N803
        old = self.items.get(_key_of(Item))
        known_as = Item["creator_name"]["S"], Item.get("batch_id", {}).get("S", "")
        if known_as in self.too_large and "collage_s3_key" in Item:
            text = "Item size has exceeded the maximum allowed size"
            raise client_error("ValidationException", 400, message=text)
        _check(old, asked)
        self._set(life, old, dict(Item))
        return {"Attributes": dict(old)} if old and asked.get("ReturnValues") == "ALL_OLD" else {}

    def query(self, life: Life | None, *, ExpressionAttributeValues: Item, **_: Any) -> Any:  # noqa: N803
        """Ask the index on batches, which is a little behind the table."""
        (wanted,) = ExpressionAttributeValues.values()
        while self._unindexed and self._unindexed[0][0] <= self._now():
            _, item = self._unindexed.popleft()
            self._indexed[_key_of(item)] = item
        return {"Items": [dict(item) for item in self._indexed.values() if item.get("batch_id") == wanted]}

    def expire(self, epoch: float) -> None:
        """Forget the items whose time to live is over."""
        gone = [key for key, item in self.items.items() if float(item["ttl"]["N"]) < epoch]
        for key in gone:
            del self.items[key]
            self._indexed.pop(key, None)
        self._unindexed = deque(one for one in self._unindexed if _key_of(one[1]) not in gone)

    def update_item(self, life: Life | None, **asked: Any) -> Any:
        old = self.items.get(_key_of(asked["Key"]))
        _check(old, asked)
        new = _updated(old, asked)
        self._set(life, old, new)
        return {"Attributes": dict(new)}

    def transact_write_items(self, life: Life | None, *, TransactItems: Any, ClientRequestToken: str) -> Any:  # noqa: N803
        writes = [write["Update"] for write in TransactItems]
        if (done := self._tokens.get(ClientRequestToken)) is not None:
            if done != repr(writes):
                raise client_error("IdempotentParameterMismatchException", 400)
            return {}
        reasons: list[dict[str, Any]] = []
        for write in writes:
            try:
                _check(self.items.get(_key_of(write["Key"])), write)
                reasons.append({"Code": "None"})
            except ClientError:
                reasons.append({"Code": "ConditionalCheckFailed"})
        if any(reason["Code"] != "None" for reason in reasons):
            raise client_error("TransactionCanceledException", 400, CancellationReasons=reasons)
        self._tokens[ClientRequestToken] = repr(writes)
        for write in writes:
            old = self.items.get(_key_of(write["Key"]))
            self._set(life, old, _updated(old, write))
        return {}

    def _set(self, life: Life | None, old: Item | None, new: Item) -> None:
        self.items[_key_of(new)] = new
        self._unindexed.append((self._now() + self._lag, new))
        self._changed(life, old, new)


def _key_of(item: Item) -> tuple[str, str]:
    return item["creator_name"]["S"], item["processing_date"]["S"]


def _check(old: Item | None, asked: Mapping[str, Any]) -> None:
    condition = asked.get("ConditionExpression")
    names, values = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
    _check_values(asked, values)
    if condition and not _condition(condition)(old or {}, names, values):
        item: Any = {"Item": dict(old)} if old and asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else {}
        raise client_error("ConditionalCheckFailedException", 400, **item)


def _check_values(asked: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuse values that no expression names, as DynamoDB does."""
    text = f"{asked.get('ConditionExpression', '')} {asked.get('UpdateExpression', '')}"
    unused = values.keys() - set(re.findall(r":\w+", text))
    if unused:
        raise client_error("ValidationException", 400, unused=sorted(unused))


def _updated(old: Item | None, asked: Mapping[str, Any]) -> Item:
    new = {**(old or {}), **asked["Key"]}
    for change in _update(asked["UpdateExpression"]):
        change(new, old or {}, asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {}))
    return new


def _plain(value: Any) -> Any:
    """Return a value that compares as DynamoDB compares: numbers as numbers; None is an attribute that is absent."""
    if value is None:
        return None
    ((kind, inner),) = value.items()
    return Decimal(inner) if kind == "N" else inner


class _Reader:
    """The words of an expression, one after the other."""

    def __init__(self, text: str) -> None:
        self.words = _TOKEN.findall(text)
        assert "".join(self.words) == re.sub(r"\s+", "", text), f"cannot read {text!r}"
        self.at = 0

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def next(self, expected: str | None = None) -> str:
        word: str = self.words[self.at]
        assert expected is None or word == expected, f"{expected} expected at {self.words[self.at :]}"
        self.at += 1
        return word


@cache
def _condition(text: str) -> Test:
    reader = _Reader(text)
    test = _either(reader)
    assert not reader.peek(), f"cannot read {text!r}"
    return test


def _either(reader: _Reader) -> Test:
    tests = [_both(reader)]
    while reader.peek().upper() == "OR":
        reader.next()
        tests.append(_both(reader))
    return tests[0] if len(tests) == 1 else lambda *given: any(test(*given) for test in tests)


def _both(reader: _Reader) -> Test:
    tests = [_single(reader)]
    while reader.peek().upper() == "AND":
        reader.next()
        tests.append(_single(reader))
    return tests[0] if len(tests) == 1 else lambda *given: all(test(*given) for test in tests)


def _single(reader: _Reader) -> Test:
    word = reader.next()
    if word.upper() == "NOT":
        inner = _single(reader)
        return lambda *given: not inner(*given)
    if word == "(":
        inner = _either(reader)
        reader.next(")")
        return inner
    if word in {"attribute_not_exists", "attribute_exists"}:
        reader.next("(")
        name = reader.next()
        reader.next(")")
        wanted = word == "attribute_exists"
        return lambda item, names, _values: (names.get(name, name) in item) is wanted
    compare, right = _COMPARE[reader.next()], reader.next()

    def test(item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
        ours, theirs = (_plain(_operand(side, item, names, values)) for side in (word, right))
        if ours is None or theirs is None or type(ours) is not type(theirs):
            return False
        return compare(ours, theirs)

    return test


def _operand(word: str, item: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    return values[word] if word.startswith(":") else item.get(names.get(word, word))


Change = Callable[[Item, Item, Mapping[str, str], Mapping[str, Any]], None]


@cache
def _update(text: str) -> tuple[Change, ...]:
    return tuple(_changes(_Reader(text)))


def _changes(reader: _Reader) -> Iterator[Change]:
    """Read the clauses. What is on the right of a SET is read from the item as it was."""
    while clause := reader.peek() and reader.next():
        more = True
        while more:
            name = reader.next()
            if clause == "SET":
                reader.next("=")
                yield _setting(name, _sum(reader))
            elif clause == "REMOVE":
                yield lambda new, _old, names, _values, name=name: new.pop(names.get(name, name), None)  # type: ignore[misc]
            elif clause == "ADD":
                yield _adding(name, reader.next())
            else:
                raise AssertionError(f"cannot read {clause}")
            if more := reader.peek() == ",":
                reader.next()


Value = Callable[[Item, Mapping[str, str], Mapping[str, Any]], Any]


def _sum(reader: _Reader) -> Value:
    value = _value(reader)
    if reader.peek() != "+":
        return value
    reader.next()
    more = _value(reader)
    return lambda *given: {"N": str(_plain(value(*given)) + _plain(more(*given)))}


def _value(reader: _Reader) -> Value:
    word = reader.next()
    if word != "if_not_exists":
        return lambda item, names, values: _operand(word, item, names, values)
    reader.next("(")
    name = reader.next()
    reader.next(",")
    otherwise = _value(reader)
    reader.next(")")
    return lambda item, names, values: item.get(names.get(name, name)) or otherwise(item, names, values)


def _setting(name: str, value: Value) -> Change:
    def change(new: Item, old: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        new[names.get(name, name)] = value(old, names, values)

    return change


def _adding(name: str, word: str) -> Change:
    def change(new: Item, old: Item, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        real = names.get(name, name)
        new[real] = {"N": str((_plain(old.get(real)) or Decimal(0)) + _plain(values[word]))}

    return change
