"""What a page holds of a batch: bounded, whatever is in it."""

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.extract import Extract, FailedRow
from worker.images.preview import PreviewSpec, preview_of
from worker.jobs.report.blocks import (
    CREATORS,
    FEW_ROWS,
    FURTHER_CREATORS,
    PAGE_BYTES,
    ROWS_OF_A_REASON,
    Blocks,
    in_script,
    preview_spec,
)
from worker.model import CreatorRecord, CreatorStatus


def creator(name: str, pages: int = 1, extract: Extract | None = None) -> CreatorRecord:
    status = CreatorStatus.COMPLETED if pages else CreatorStatus.FAILED
    return CreatorRecord(name, status, 35, ("k",) * pages, {}, 1.0, extract=extract)


def noise(spec: PreviewSpec) -> bytes:
    """Return a preview of a page that does not compress."""
    return preview_of(Image.effect_noise((1_400, 1_000), 90).convert("RGB"), spec)


def previews_in(blocks: Blocks) -> Iterator[list[str]]:
    for block in blocks.preview_blocks():
        yield from json.loads(block)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_json_in_a_script_ends_no_element_and_says_the_same(text: str) -> None:
    block = in_script({"a": [text]})
    assert not set(block) & set("<>&\u2028\u2029")
    assert json.loads(block.encode("utf-8", "backslashreplace")) == {"a": [text]}


def test_a_preview_is_put_together_again_from_its_head_and_the_rest() -> None:
    import base64  # noqa: PLC0415 -- as the page's script does it

    pictures = [noise(preview_spec(creators)) for creators in (10_000, 10_000, 10)]
    with Blocks() as blocks:
        blocks.add(creator("ann", 3, Extract(previews=tuple(pictures))), ["a", "b", "c"])
        ((told),) = previews_in(blocks)
        heads = json.loads(blocks.heads())
    assert len(heads) == 2, "those of one size share it"
    for text, picture in zip(told, pictures, strict=True):
        number, _, rest = text.partition(":")
        assert base64.b64decode(heads[int(number)] + rest) == picture
        Image.open(io.BytesIO(picture)).load()


@pytest.mark.parametrize("creators", [50, 500, 2_000, CREATORS])
def test_a_page_holds_a_preview_of_each_creator_and_stays_within_its_bytes(creators: int) -> None:
    collage = Image.linear_gradient("L").resize((1_400, 1_000)).convert("RGB")
    picture = preview_of(collage, preview_spec(creators))
    with Blocks() as blocks:
        for number in range(creators):
            blocks.add(creator(f"creator {number}", 1, Extract(previews=(picture,))), ["collages/x/y.jpg"])
        assert blocks.creators == creators
        assert all(previews_in(blocks))


def test_where_previews_have_no_room_each_creator_has_its_share() -> None:
    picture = noise(PreviewSpec(30_000, 90))
    with Blocks() as blocks:
        for number in range(1_000):
            blocks.add(creator(f"creator {number}", 3, Extract(previews=(picture,) * 3)), ["k"] * 3)
        size = sum(map(len, blocks.preview_blocks())) + sum(map(len, blocks.creator_blocks()))
        counts = [len(told) for told in previews_in(blocks)]
    assert size < PAGE_BYTES
    assert max(counts[:20]) >= 1
    assert max(counts[-20:]) >= 1, "the last ones are no worse off"


def test_of_more_creators_those_without_a_collage_have_room() -> None:
    with Blocks() as blocks:
        for number in range(CREATORS + 10):
            blocks.add(creator(f"{number}"), ["k"])
        assert blocks.creators == CREATORS
        for number in range(FURTHER_CREATORS + 10):
            blocks.add(creator(f"failed {number}", 0), [])
        assert blocks.creators == CREATORS + FURTHER_CREATORS


def test_rows_of_a_rare_reason_have_room_beside_those_of_a_frequent_one() -> None:
    with Blocks() as blocks:
        for number in range(ROWS_OF_A_REASON + 50):
            row = FailedRow(number, "https://cdn.example/" + "x" * 900, "expired", "m")
            blocks.add(creator("ann", 1, Extract(failed=(row,))), ["k"])
        rare = tuple(FailedRow(number, "u", "dns", "m") for number in range(FEW_ROWS))
        blocks.add(creator("bob", 1, Extract(failed=rare)), ["k"])
        rows = {reason: json.loads(text) for reason, text in blocks.row_blocks()}
    assert len(rows["dns"]) == FEW_ROWS
    assert FEW_ROWS < len(rows["expired"]) <= ROWS_OF_A_REASON
    assert max(len(row[2]) for row in rows["expired"]) <= 300
