"""Between the workers and the servers: requests take time, get lost on either way, arrive late, or twice.

A request that has left is with the server, whatever becomes of who sent it.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from tests.simulation.clock import WORLD, Life, State, VirtualLoop
from tests.simulation.refusals import Refusal, error_of, refused

KINDS = ("throttled", "lost", "repeated", "slow", "echoed", "conflict", "corrupted")
"""throttled: refused, nothing happened. lost: it took effect, the answer never came. corrupted: it took effect, and the
answer cannot be read. repeated: the SDK sent it again because the answer was lost, and the second answer came. slow: it
arrives after 1 to 90 s. echoed: it arrives again 1 to 200 s later. conflict: refused because of another one at the same
time."""

WRITES = frozenset({"transact_write_items", "update_item", "put_item"})


@dataclass(slots=True)
class Trouble:
    """How likely each kind of trouble is for a call, and how keenly and how often workers are hit at rare steps."""

    chances: dict[str, float] = field(default_factory=dict)
    at_steps: float = 0.0
    hits_left: int = 0
    pauses: tuple[float, ...] = (1.0,)
    kills: bool = True

    @classmethod
    def drawn(cls, rng: random.Random, lease: float) -> "Trouble":
        """Draw a mixture: some seeds have none of a kind, so that others are seen alone."""
        chances = {kind: rng.choice([0.0, 0.0, 0.01, 0.05]) for kind in KINDS}
        pauses = (lease * 0.3, lease * 1.1, lease * 2.5)
        keen = rng.choice([0.0, 0.3, 0.8])
        return cls(chances, keen, rng.choice([1, 2, 4, 8]), pauses, rng.random() < 0.7)


class Wire:
    """Carries every call. `trace` tells all of it: when, who, what, and what came of it."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, trouble: Trouble) -> None:
        self.loop = loop
        self.rng = rng
        self.trouble = trouble
        self.trace: list[tuple[float, str, str, str]] = []
        self.under_way = 0
        self.refusals: list[Refusal] = []
        self.kills_at, self.kills_left = "", 0
        self.seen: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()

    def note(self, who: Life | str | None, what: str, came: str) -> None:
        self.trace.append((self.loop.now, str(who or "-"), what, came))

    def client(self, life: Life | None, server: Any, name: str) -> Any:
        return Client(self, life, server, name)

    async def call(self, life: Life | None, server: Any, name: str, operation: str, asked: dict[str, Any]) -> Any:
        if life is not None and life.state is State.GHOST:
            raise asyncio.CancelledError
        if hasattr(asked.get("Body"), "read"):
            asked = asked | {"Body": asked["Body"].read()}
        label, what = _labels(name, operation, asked)
        kind = self._kind(life, operation, asked)
        hit = self._hit(life, label, what)
        if hit.endswith("before"):
            self.strike(life, hit, what)
            if hit.startswith("kill"):
                await self.loop.create_future()
            await asyncio.sleep(0)  # a frozen one comes back from here when it is thawed
        answer = self.loop.create_future()
        effect = partial(getattr(server, operation), life, **asked)
        if operation == "receive_message":
            self._under_way(partial(self._poll, life, what, effect, kind, answer))
        else:
            self._under_way(partial(self._arrive, life, what, effect, kind, answer, hit), self._way(kind))
        return await answer

    # --- trouble ----------------------------------------------------------------------------------------------------

    def _kind(self, life: Life | None, operation: str, asked: dict[str, Any]) -> str:
        if life is None:
            return ""
        draw = self.rng.random()
        for kind, chance in self.trouble.chances.items():
            if draw < chance:
                if kind == "conflict" and operation not in WRITES and "IfNoneMatch" not in asked:
                    return ""
                life.troubled_at = self.loop.now
                life.unhurt &= kind == "repeated"
                self.hits[kind] += 1
                return kind
            draw -= chance
        return ""

    def _hit(self, life: Life | None, label: str, what: str) -> str:
        """Say whether the worker is hit at this step; the rarer the step so far, the likelier."""
        self.seen[label] += 1
        if life is not None and self.kills_left and re.search(self.kills_at, what) and self.rng.random() < 0.8:
            self.kills_left -= 1
            return self.rng.choice(["kill before", "kill after"])
        if life is None or not self.trouble.hits_left:
            return ""
        if self.rng.random() >= self.trouble.at_steps / (3 + self.seen[label] ** 1.5):
            return ""
        self.trouble.hits_left -= 1
        what = "kill" if self.trouble.kills and self.rng.random() < 0.5 else "freeze"
        return f"{what} {self.rng.choice(['before', 'after'])}"

    def strike(self, life: Life | None, hit: str, where: str) -> None:
        """Kill or freeze a worker."""
        if life is None or life.state is not State.RUNNING:
            return
        life.troubled_at = self.loop.now
        life.unhurt = False
        self.hits[hit] += 1
        if hit.startswith("kill"):
            life.state = State.DEAD
            self.note(life, f"KILLED at {where}", hit)
            return
        life.state = State.FROZEN
        seconds = self.rng.choice(self.trouble.pauses) * self.rng.uniform(0.9, 1.1)
        self.note(life, f"FROZEN at {where}", f"{hit}, for {seconds:.1f} s")
        self.loop.call_later(seconds, self.thaw, life, context=WORLD)

    def thaw(self, life: Life) -> None:
        if life.state is State.FROZEN:
            life.troubled_at = self.loop.now
            self.note(life, "THAWED", "")
            self.loop.thaw(life)

    # --- the way there and back -------------------------------------------------------------------------------------

    def _way(self, kind: str = "") -> float:
        return self.rng.uniform(1, 90) if kind == "slow" else self.rng.uniform(0.001, 0.015)

    def _under_way(self, step: Callable[[], None], seconds: float | None = None) -> None:
        self.under_way += 1

        def arrived() -> None:
            self.under_way -= 1
            step()

        self.loop.call_later(self._way() if seconds is None else seconds, arrived, context=WORLD)

    def _arrive(
        self, life: Life | None, what: str, effect: Callable[[], Any], kind: str, answer: Any, hit: str
    ) -> None:
        if (error := self._refusal(life, what, effect)) is not None:
            self._answer(life, what, error, "refused", answer)
            return
        if kind in {"throttled", "conflict"}:
            self._answer(life, what, error_of(kind, what), kind, answer)
            return
        came = _outcome(effect)
        if kind == "corrupted":
            self._answer(life, what, error_of("garbled", what), kind, answer)
            return
        if kind == "repeated":
            self.note(life, what, f"{_shown(came)}, the answer got lost")
            self._under_way(
                lambda: self._answer(life, what, _outcome(effect), "second try", answer), self.rng.uniform(0.1, 2)
            )
            return
        if kind == "echoed":
            self._under_way(
                lambda: self.note(life, what, f"echo: {_shown(_outcome(effect))}"), self.rng.uniform(1, 200)
            )
        if kind == "lost":
            self.note(life, what, f"{_shown(came)}, the answer got lost")
            self._under_way(
                lambda: self._answer(life, what, ReadTimeoutError(endpoint_url=""), "gave up", answer),
                self.rng.uniform(0.1, 40),
            )
            return
        self._answer(life, what, came, kind, answer)
        if hit.endswith("after"):
            self.strike(life, hit, what)

    def _refusal(self, life: Life | None, what: str, effect: Callable[[], Any]) -> Exception | None:
        """Return what a call meets while its service refuses, None where it is let through.

        Whatever it costs the work, it is no excuse for a message that is given up.
        """
        error = None if life is None else refused(self.refusals, what, self.loop.now)
        if error is None or life is None:
            return None
        self.hits["refused"] += 1
        life.unhurt = False  # it may not get through to give a lease back
        if isinstance(error, ResponseParserError):
            _outcome(effect)  # the answer is damaged, and not the request
            life.troubled_at = self.loop.now
        return error

    def _poll(self, life: Life | None, what: str, effect: Callable[[], Any], kind: str, answer: Any) -> None:
        """Begin a long poll; its answer comes when there are messages. Only its answer can get lost."""

        def found(waited: "asyncio.Future[Any]") -> None:
            came: Any = waited.result()
            if kind == "lost" and came:
                self.note(life, what, f"{_shown(came)}, the answer got lost")
                came = ReadTimeoutError(endpoint_url="")
            given_up = answer.done() and life is not None and life.troubled_at > 0  # frozen beyond the call's deadline
            if came and life is not None and (kind == "lost" or given_up or life.state is not State.RUNNING):
                life.troubled_at = self.loop.now
            self._answer(life, what, came, "", answer, quiet=not came)

        if (error := self._refusal(life, what, lambda: None)) is not None:
            self._answer(life, what, error, "refused", answer)
        elif kind == "throttled":
            self._answer(life, what, error_of(kind, what), kind, answer)
        else:
            effect().add_done_callback(found, context=WORLD)

    def _answer(self, life: Life | None, what: str, came: Any, how: str, answer: Any, *, quiet: bool = False) -> None:
        if not quiet:
            self.note(life, what, f"{_shown(came)}{', ' + how if how else ''}")
        self._under_way(partial(_resolve, answer, came))


class Client:
    """Looks like an aiobotocore client."""

    def __init__(self, wire: Wire, life: Life | None, server: Any, name: str) -> None:
        self._whole = (wire, life, server, name)

    def __getattr__(self, operation: str) -> Any:
        wire, life, server, name = self._whole
        return lambda **asked: wire.call(life, server, name, operation, asked)


def _outcome(effect: Callable[[], Any]) -> Any:
    try:
        return effect()
    except ClientError as error:
        return error


def _resolve(answer: "asyncio.Future[Any]", came: Any) -> None:
    if answer.done():
        return
    if isinstance(came, BaseException):
        answer.set_exception(came)
    else:
        answer.set_result(came)


def _shown(came: Any) -> str:
    if isinstance(came, ClientError):
        reasons = [reason["Code"] for reason in came.response.get("CancellationReasons", [])]
        return f"{came.response['Error']['Code']}{reasons or ''}"
    if isinstance(came, BaseException):
        return type(came).__name__
    if isinstance(came, dict) and came.get("Messages"):
        return "got " + ", ".join(message["ReceiptHandle"] for message in came["Messages"])
    return "ok"


_PLACES = re.compile(
    r"collages/|metadata/|summaries/.*html|summaries/|chunks/|results/|plan|archived/|csv-files/|manual"
)


def _labels(name: str, operation: str, asked: dict[str, Any]) -> tuple[str, str]:
    """Return a call's kind, of which there are some dozens, and its text in the trace."""
    if name == "dynamodb":
        if operation == "transact_write_items":
            first = asked["TransactItems"][0]["Update"]["Key"]
            return operation, f"dynamodb.transact {first['creator_name']['S']} {first['processing_date']['S']}"
        at = asked.get("Key") or asked.get("Item") or {"creator_name": {"S": "*"}, "processing_date": {"S": "index"}}
        text = asked.get("UpdateExpression") or asked.get("Item", {}).get("status", {}).get("S", "")
        label = f"{operation} {text[:48]} {at['processing_date']['S'][:5]}"
        return label, f"dynamodb.{operation} {at['creator_name']['S']} {at['processing_date']['S']}: {text[:56]}"
    if name == "s3":
        key = asked.get("Key", "")
        place = _PLACES.search(key)
        return f"{operation} {place[0] if place else ''}", f"s3.{operation} {asked['Bucket']}/{key}"
    text = asked.get("ReceiptHandle") or str(asked.get("MessageBody", ""))[:80]
    if operation == "receive_message":
        text = f"up to {asked['MaxNumberOfMessages']}"
    if operation == "change_message_visibility":
        text += f" {asked['VisibilityTimeout']} s"
    if operation == "send_message_batch":
        text = f"{len(asked['Entries'])}: {asked['Entries'][0]['MessageBody'][:80]} ..."
    where = "dead" if "dead" in asked["QueueUrl"] else ""
    return f"{operation}{where}", f"sqs.{operation} {where}{text}"
