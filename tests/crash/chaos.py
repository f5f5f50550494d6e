"""One big batch over several workers that are killed, frozen, stopped and started at random."""

import json
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from samples.origin import serve
from tests.crash.scenarios import Asked, Expected, completed, versions_kept
from tests.integration.emulator import Aws
from tests.integration.pictures import manifest, token
from tests.integration.places import Place, make_place, plain
from tests.integration.processes import Worker
from tests.integration.waiting import until
from worker.keys import batch_id
from worker.model import Job, ProcessingConfig, S3Manifest

RECEIVES = 25
"""How often a message may be received here before it is a dead letter. Workers die every few seconds, so that a message
may well meet more than the three deaths that are enough in earnest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen."""

    creators: int
    workers: int
    seconds: float
    """How long there is trouble; it ends earlier when the batch does."""
    seed: int
    chunk: int = 50
    within: float = 300.0
    """Seconds in which the batch has to end once the trouble is over."""
    kills: int = 0
    """So many workers are killed, and nothing else happens; a message may be received three times, as in earnest."""
    lease: float = 6.0
    """Seconds that a lease and a message's invisibility last."""

    @property
    def frozen(self) -> float:
        """Seconds that a worker is frozen for: when it wakes up, what it held has long been taken over."""
        return 1.6 * self.lease


@dataclass(slots=True)
class Told:
    """What happened."""

    events: Counter[str] = field(default_factory=Counter)
    trouble_seconds: float = 0.0
    seconds: float = 0.0
    done_in_trouble: float = 0.0
    """Share of the creators that were finished when the trouble ended."""
    takeovers: int = 0
    closed: int = 0


@contextmanager
def tiny_origin() -> Iterator[str]:
    """Serve three photos of a few hundred bytes; gives the address."""
    with tempfile.TemporaryDirectory() as folder:
        for number, colour in enumerate(("teal", "coral", "olive")):
            Image.new("RGB", (64, 64), colour).save(Path(folder, f"{number}.jpg"), quality=60)
        server = serve(photos=Path(folder))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


def chaos(aws: Aws, plan: Plan, say: Callable[[str], None] = lambda _text: None) -> Told:
    """Run a batch through the trouble, hold the end against the invariants, and tell what happened."""
    place = make_place(aws)
    versions_kept(place)
    receives = 3 if plan.kills else RECEIVES
    policy = {"deadLetterTargetArn": _arn(place), "maxReceiveCount": str(receives)}
    place.aws.sqs.set_queue_attributes(QueueUrl=place.queue_url, Attributes={"RedrivePolicy": json.dumps(policy)})
    with tiny_origin() as base:
        asked, identifier = _drop(place, base, plan.creators)
        crew = Crew(place, plan)
        with crew.at_work():
            _trouble(crew, plan, identifier, say)
            _until_closed(crew, plan, identifier, say)
            crew.end()
            told = crew.told
            told.closed = crew.count("batch.completed")
    assert told.closed <= 1, "the batch was closed more than once"
    completed(place, asked)
    return told


class Crew:
    """Some workers, of which each may be running, frozen or gone."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place = place
        self.told = Told()
        self._frozen_for = plan.frozen
        self._misfortunes = ("kill",) if plan.kills else ("kill", "kill", "freeze", "freeze", "stop")
        self._env = place.env(
            VISIBILITY_TIMEOUT=plan.lease,
            CHUNK_CREATORS=plan.chunk,
            MAX_CONCURRENT_JOBS=2,
            DECODE_PROCESSES=1,
            DEFAULT_ROWS=1,
            DEFAULT_COLS=2,
            DEFAULT_MAX_RETRIES=0,
            STOP_GRACE_SECONDS=10,
        )
        self._slots: list[Worker | None] = [None] * plan.workers
        self._frozen: dict[int, float] = {}
        self._stack = ExitStack()
        self._all: list[Worker] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Start every worker; whatever happens, none of them outlives the body."""
        with self._stack:
            try:
                self.fill()
                yield
            finally:
                for worker in self._all:
                    worker.process.kill()

    def fill(self) -> None:
        """Start what is missing."""
        for number, worker in enumerate(self._slots):
            if worker is None or not worker.is_running:
                self._slots[number] = self._started()

    def turn(self, chance: random.Random) -> str:
        """Thaw who was frozen long enough, and do something to one worker."""
        self.thaw()
        number = chance.randrange(len(self._slots))
        worker = self._slots[number]
        if worker is None or not worker.is_running:
            self._slots[number] = self._started()
            return f"start {number}"
        if number in self._frozen:
            return ""
        what = chance.choice(self._misfortunes)
        self.told.events[what] += 1
        if what == "freeze":
            self._frozen[number] = time.monotonic() + self._frozen_for
            worker.signal(signal.SIGSTOP)
        else:
            worker.signal(signal.SIGKILL if what == "kill" else signal.SIGTERM)
        return f"{what} {number}"

    def thaw(self, *, everyone: bool = False) -> None:
        """Let the frozen go on whose time has come."""
        for number, until_then in list(self._frozen.items()):
            if everyone or time.monotonic() >= until_then:
                del self._frozen[number]
                worker = self._slots[number]
                if worker is not None and worker.is_running:
                    worker.signal(signal.SIGCONT)

    def end(self) -> None:
        """Ask every worker to stop; each has to end well."""
        living = [worker for worker in self._slots if worker is not None and worker.is_running]
        for worker in living:
            worker.ready().signal()  # one that is only starting would not hear it
        assert [worker.exit_code(within=60) for worker in living] == [0] * len(living)

    def count(self, event: str) -> int:
        """Count an event in the logs of all the workers there were."""
        return sum(worker.stderr.count(f'"event": "{event}"') for worker in self._all)

    def _started(self) -> Worker:
        self.told.events["start"] += 1
        worker = self._stack.enter_context(Worker(self._env, check=False))
        self._all.append(worker)
        return worker


def _trouble(crew: Crew, plan: Plan, identifier: str, say: Callable[[str], None]) -> None:
    chance = random.Random(plan.seed)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < plan.seconds and not _closed(crew.place, identifier):
        if plan.kills and crew.told.events["kill"] >= plan.kills:
            break
        time.sleep(chance.uniform(plan.lease / 6, plan.lease * 4 / 6))  # or all would be frozen at once
        what = crew.turn(chance)
        say(f"{passed:6.1f} s  {what:10}  {_progress(crew.place, identifier)}")
    crew.told.trouble_seconds = time.monotonic() - began
    record = _record(crew.place, identifier)
    crew.told.done_in_trouble = min(1.0, _done(record) / plan.creators)


def _until_closed(crew: Crew, plan: Plan, identifier: str, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    crew.thaw(everyone=True)

    def look() -> bool:
        crew.fill()  # one that was asked to stop may end only now
        say(f"+{time.monotonic() - began:5.1f} s  {'':10}  {_progress(crew.place, identifier)}")
        return _closed(crew.place, identifier) and crew.place.waiting() == 0

    until(look, "the end of the batch", within=plan.within, every=2.0)
    crew.told.seconds = crew.told.trouble_seconds + time.monotonic() - began
    crew.told.takeovers = int(_record(crew.place, identifier).get("fence", 1)) - 1


def _drop(place: Place, base: str, creators: int) -> tuple[Asked, str]:
    rows: list[tuple[str, str]] = []
    expected: dict[str, tuple[str, int, dict[str, int]]] = {}
    for number in range(creators):
        name = f"creator-{number:05d}"
        if number % 50 == 7:
            rows.append((name, f"{base}/status/404?{number}"))
            expected[name] = ("failed", 0, {"not_found": 1})
        else:
            rows += [(name, f"{base}/copy/{number}/{photo}.jpg") for photo in (number % 3, (number + 1) % 3)]
            expected[name] = ("completed", 2, {})
    random.Random(1).shuffle(rows)
    text, key = manifest(rows), f"csv-files/{token()}.csv"
    etag = place.put(key, text)
    job = Job(S3Manifest(place.input, key, None, etag), "", ProcessingConfig(), from_event=True)
    found: Expected = expected
    return Asked(key, text, found), batch_id(job)


def _record(place: Place, identifier: str) -> dict[str, Any]:
    key = {"creator_name": {"S": f" batch {identifier}"}, "processing_date": {"S": "batch"}}
    return plain(place.aws.dynamodb.get_item(TableName=place.table, Key=key, ConsistentRead=True).get("Item", {}))


def _closed(place: Place, identifier: str) -> bool:
    return _record(place, identifier).get("state") == "completed"


def _done(record: dict[str, Any]) -> int:
    return int(record.get("n_creators_completed", 0)) + int(record.get("n_creators_failed", 0))


def _progress(place: Place, identifier: str) -> str:
    record = _record(place, identifier)
    chunks = f"{record.get('chunks_done', 0)} of {record.get('chunks_total', '?')} chunks"
    return f"{chunks}, {_done(record)} creators, {place.waiting()} messages, {place.dead_count()} dead letters"


def _arn(place: Place) -> str:
    found = place.aws.sqs.get_queue_attributes(QueueUrl=place.dlq_url, AttributeNames=["QueueArn"])
    return found["Attributes"]["QueueArn"]
