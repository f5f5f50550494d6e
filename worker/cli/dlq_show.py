"""`dlq show`: one dead letter's story."""

import json
from typing import Any

from worker.cli.access import Access, open_access
from worker.cli.batch_told import status_told
from worker.cli.letters import EXHAUSTED, Letter, Wanted, held
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.jobs.reasons import JOBS
from worker.masks import without_signatures, written_out
from worker.model import BatchRecord, BatchState
from worker.settings import Settings

_MEANING = {str(reason): told for reason, told in JOBS.items()}


async def show_dead_letter(settings: Settings, message_id: str, *, as_json: bool, limit: int) -> int:
    """Show a message, why it is there, and how its batch stands; returns the exit code."""
    async with open_access(settings, Dependency.SQS, Dependency.DYNAMODB) as access:
        async with held(await access.dead_letters(), limit) as found:
            fitting = [letter for letter in found.letters() if Wanted(ids=(message_id,)).fits(letter)]
        if len(fitting) != 1:
            _tell_why_none(message_id, fitting, found.elsewhere)
            return 2 if fitting else 1
        letter = fitting[0]
        record = await _batch(access, letter)
    meaning = _MEANING.get(letter.cause, "The log of the worker says why its attempts failed.")
    following = _next(letter, record)
    if as_json:
        batch = status_told(record) if record else None
        print_json(letter.told() | {"meaning": meaning, "next": following, "batch": batch, "sender": _sender(letter)})
        return 0
    for name, value in (
        ("message", letter.id),
        ("failed", letter.failed_at),
        ("cause", letter.cause),
        ("meaning", meaning),
        ("told", letter.text),
        ("asks for", letter.asks_for),
        ("batch", f"{letter.batch_id}  {record.state if record else 'no record'}"),
        ("receives", f"{letter.message.receives} here, this look included"),
        ("next", following),
    ):
        stdout.print(f"{name:<8} {written_out(value)}", markup=False)
    stdout.print(_body(letter), markup=False)
    return 0


async def _batch(access: Access, letter: Letter) -> BatchRecord | None:
    return None if letter.batch_id == "none" else await access.table.batch(letter.batch_id)


def _tell_why_none(message_id: str, fitting: list[Letter], elsewhere: int) -> None:
    if fitting:
        ids = "\n  ".join(letter.id for letter in fitting)
        stderr.print(f"{message_id} fits {len(fitting)} messages:\n  {ids}\ntype more of it", markup=False)
        return
    more = f"; {elsewhere} are in flight elsewhere: try again in 5 min" if elsewhere else ""
    stderr.print(f"there is no message {message_id} here{more}; collage dlq list shows what there is", markup=False)


def _next(letter: Letter, record: BatchRecord | None) -> str:
    """Return what to type."""
    if letter.asks_for.startswith("chunk ") and record is not None and record.state is not BatchState.RUNNING:
        return f"its creators are recorded as failed: collage retry {record.id}, then collage dlq delete {letter.id}"
    if letter.cause in {"bad_json", "unknown_message", "unknown_key", "bad_value"}:
        return f"it fails in the same way each time: send it anew, correct; then collage dlq delete {letter.id}"
    what = "find out why" if letter.cause == EXHAUSTED else "mend the cause"
    return f"{what}, then collage dlq redrive --cause {letter.cause} --dry-run"


def _sender(letter: Letter) -> dict[str, Any]:
    """Return what SQS tells of the message."""
    return {name: str(value) for name, value in letter.message.attributes.items()}


def _body(letter: Letter) -> str:
    text = without_signatures(letter.message.body)
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
