"""Values as DynamoDB keeps them: as boto3 writes them, and back as they were."""

import math
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from worker.aws.table import from_item, to_item

NUMBERS = st.integers(-(10**30), 10**30) | st.floats(-1e12, 1e12).filter(lambda number: not 0 < abs(number) < 1e-30)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Colour(StrEnum):
    RED = "red"


def exact(value: Any) -> Any:
    """What boto3 takes a value as: without binary floats."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    return [exact(inner) for inner in value] if isinstance(value, list) else value


def decimals(attribute: Any) -> Any:
    """Numbers as numbers: they may be written in more than one way."""
    if isinstance(attribute, dict):
        return {
            key: Decimal(inner) if key == "N" and isinstance(inner, str) else decimals(inner)
            for key, inner in attribute.items()
        }
    return [decimals(inner) for inner in attribute] if isinstance(attribute, list) else attribute


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_an_item_is_written_as_boto3_does_and_read_as_it_was(values: dict[str, Any]) -> None:
    item = to_item(values)
    assert decimals(item) == decimals(
        {name: TypeSerializer().serialize(exact(value)) for name, value in values.items()}
    )
    assert from_item(item) == values


def test_a_named_value_is_its_text() -> None:
    (attribute,) = to_item({"colour": Colour.RED}).values()
    assert attribute == {"S": "red"}
    assert type(attribute["S"]) is str


@pytest.mark.parametrize("value", [object(), math.nan, math.inf, -math.inf, [math.nan]])
def test_what_has_no_attribute_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no attribute can hold"):
        to_item({"when": value})
