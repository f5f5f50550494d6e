"""One run: orders, workers as they are put together in production, trouble, and in the end a look around."""

import asyncio
import contextlib
import contextvars
import gc
import hashlib
import random
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

from PIL import Image

from tests.simulation import misfortunes as misfortune
from tests.simulation import orders as order_book
from tests.simulation import strangers
from tests.simulation.clock import LIFE, WORLD, Life, NothingLeft, State, VirtualLoop, time_of
from tests.simulation.dynamodb import DynamoDb
from tests.simulation.misfortunes import Misfortunes
from tests.simulation.orders import INPUT, OUTPUT, TEMP, Order
from tests.simulation.s3 import Buckets
from tests.simulation.sqs import DEAD_LETTERS, QUEUE, Sqs
from tests.simulation.watch import Watch
from tests.simulation.wire import Trouble, Wire
from worker.aws import batch_log, calls
from worker.aws.buckets import Buckets as S3Buckets
from worker.aws.calls import Patience
from worker.aws.s3 import S3
from worker.aws.sqs import Queue
from worker.aws.state_table import StateTable
from worker.aws.stores import S3Manifests, S3Results, TempObjects
from worker.download.fetch import Fetched
from worker.errors import Dependency, ImageError, ImageReason, JobReason
from worker.extract import PreviewSpec
from worker.images.cell import Cell, CellSpec
from worker.images.preview import preview_of
from worker.jobs import batch, chunk, creator, creator_loop, finish, gate, leasing, part_work, suspects
from worker.jobs.creator import ImageRules
from worker.jobs.gate import CREATORS_PER_JOB, Memory, Thresholds
from worker.jobs.messages import JobDefaults
from worker.jobs.ports import Ports
from worker.keys import batch_digest
from worker.model import BatchState
from worker.service import breaker, fate, heartbeat, receive
from worker.service.assembly import Shape, assembled
from worker.service.breaker import Breakers
from worker.service.receive import Receiver, ReceiverTimes

OWN_BUCKETS = {INPUT: "INPUT_BUCKET", OUTPUT: "OUTPUT_BUCKET", TEMP: "TEMP_BUCKET"}
SLOTS = 2
CREATORS_PER_CHUNK = 3
RULES = ImageRules(min_side=1, keep_side=800, max_pixels=1_000_000, dedupe=True, hash_algorithm="sha256")
DEFAULTS = JobDefaults(order_book.CONFIG, "", INPUT, frozenset({INPUT}))
THRESHOLDS = Thresholds(80.0, 90.0)
LONG = 6 * 3600.0
"""Seconds after the last trouble in which everything has to come to rest."""


@dataclass
class Ran:
    """What came of a run."""

    seed: int
    broken: list[str]
    trace: list[tuple[float, str, str, str]]
    steps: int = 0
    seconds: float = 0.0
    lives: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    redrives: int = 0
    replaced_reasons: int = 0
    calls: int = 0
    stale: dict[str, int] = field(default_factory=dict)

    def told(self) -> str:
        lines = [f"{at:10.3f}  {who:6} {what}  →  {came}" for at, who, what, came in self.trace]
        return "\n".join([*lines, f"seed {self.seed}:", *self.broken])


class World:
    """The servers, the workers that come and go, and who makes trouble for them."""

    def __init__(self, seed: int, misfortunes: Misfortunes | None = None) -> None:
        self.seed = seed
        self.chance = random.Random(f"{seed} misfortunes")
        self.misfortunes = misfortune.drawn(self.chance) if misfortunes is None else misfortunes
        self.rng = random.Random(seed)
        self.loop = VirtualLoop(self.rng)
        self.watch = Watch()
        self.watch.now = self.loop.time
        self.lease = self.rng.choice([20, 60, 120])
        self.trouble = Trouble.drawn(self.rng, self.lease)
        self.calm = self.rng.random() < 0.15
        self.troubled_for = self.rng.uniform(5, 150)
        if self.calm:
            self.trouble = Trouble()
        self.wire = Wire(self.loop, self.rng, self.trouble)
        self.wire.refusals = self.misfortunes.refusals
        self.wire.kills_at, self.wire.kills_left = self.misfortunes.kills_at, self.misfortunes.kills_left
        self.troubled_for = max(self.troubled_for, self.misfortunes.until)
        versioned = self.rng.random() < 0.5
        self.buckets = Buckets(frozenset({INPUT} if versioned else ()), self.watch.object_changed, now=self.loop.time)
        self.watch.newest = self.buckets.newest
        self.table = DynamoDb(self.watch.item_changed, now=self.loop.time, index_lag=self.misfortunes.index_lag)
        self.queue = Sqs(self.loop, self.rng)
        self.queue.duplicates = self.rng.choice([0.0, 0.0, 0.05, 0.3])
        self.flaky = self.rng.random() < 0.15
        self.split = self.rng.random() < 0.85
        self.skewed = self.rng.random() < 0.3
        self.pace = self.rng.choice([0.05, 0.5, 5.0])
        self.orders = order_book.draw(self.rng, self.buckets, versioned=versioned, flaky=self.flaky)
        self._draw_more(versioned=versioned)
        self.workers: list[Life] = []
        self.ends: dict[Life, asyncio.Task[None]] = {}
        self.stops: dict[Life, tuple[asyncio.Event, asyncio.Event]] = {}
        self.wanted = self.rng.randint(1, 8)
        self.kills_left = self.misfortunes.kills_on_progress
        self.doomed: set[Life] = set()
        self.watch.creator_done = self._creator_done
        self.watch.is_refused = lambda: self._lives_ended() > 0 and self.wire.hits["refused"] > 0
        self.watch.is_undisturbed = lambda: (
            self.wire.hits.keys() <= {"kill by a creator"} and not self.misfortunes.full_disks
        )
        self.watch.ends = self._lives_ended

    def _lives_ended(self) -> int:
        """Return how many workers ended or were frozen, so that their leases ran out."""
        frozen = sum(count for name, count in self.wire.hits.items() if name.startswith("freeze"))
        return frozen + sum(life.state is State.DEAD for life in self.workers)

    def _draw_more(self, *, versioned: bool) -> None:
        """Draw what misfortunes ask for besides, and who is a killer."""
        chance, told = self.chance, self.misfortunes
        self.messages: list[tuple[float, str]] = []
        self.uploads: list[tuple[float, Order]] = []
        for order in list(self.orders):
            if told.new_uploads and chance.random() < 0.3:
                if order.from_event and not order.fails:
                    self.uploads.append((chance.uniform(0, 30), order))
                elif order.key and not order.fails:
                    self.orders.append(strangers.other_settings(chance, order))
        if told.new_uploads and chance.random() < 0.1:
            self.orders += strangers.twins(chance, len(self.orders))
        if told.new_uploads and chance.random() < 0.3:
            number = len(self.orders)
            self.orders.append(strangers.out_of_reach(chance, number, self.buckets, versioned=versioned))
        for order in self.orders:
            if order.fails:
                continue
            order.killers = {name for name in order.creators if chance.random() < told.killers}
            order.too_large = {name for name in order.creators if chance.random() < told.too_large} - order.killers
            self.table.too_large |= {(name, order.id) for name in order.too_large}
        for order in self.orders:  # of two that share eight digits, the table cannot tell which is meant
            too_large = {name for name, batch_id in self.table.too_large if batch_id == order.id}
            order.too_large = too_large & set(order.creators)
        texts, self.watch.may_come = strangers.forgeries(chance, self.orders, told.forged)
        self.messages += [(chance.uniform(0, 60), text) for text in texts]
        self.versioned = versioned

    # --- from start to end ------------------------------------------------------------------------------------------

    def run(self) -> Ran:
        disk = misfortune.disk_of(self.misfortunes, self.loop.time)
        with replaced(self.watch, self.seed), time_of(self.loop), disk:
            main = WORLD.run(self.loop.create_task, self._main())
            try:
                self.loop.run_until_complete(main)
            except NothingLeft as error:
                self.watch.claim(holds=False, otherwise=f"the run never came to rest: {error}")
            except Exception as error:  # noqa: BLE001 -- told with the trace
                self.watch.claim(holds=False, otherwise=f"the run failed: {error!r}")
            ran = Ran(
                self.seed,
                [*self.watch.broken, *self.loop.failures],
                self.wire.trace,
                sum(life.steps for life in self.workers),
                self.loop.now,
                len(self.workers),
                dict(self.wire.hits),
                self.watch.redrives,
                self.watch.replaced_reasons,
                sum(self.wire.seen.values()),
                dict(self.watch.stale_documents),
            )
            self._forget()
        return ran

    async def _main(self) -> None:
        self.away = asyncio.Event()
        everybody = asyncio.create_task(self._keep_up_numbers())
        self.away.set()
        side = [asyncio.create_task(coroutine) for coroutine in self._troubles()]
        for order in self.orders:
            side += [asyncio.create_task(self._send(message)) for message in order.messages]
        side += [asyncio.create_task(self._send_at(at, text)) for at, text in self.messages]
        side += [asyncio.create_task(self._upload_at(at, order)) for at, order in self.uploads]
        if self.misfortunes.absence_at is not None:
            side.append(asyncio.create_task(self._go_away(self.misfortunes.absence_at)))
        if self.rng.random() < 0.2:
            side.append(asyncio.create_task(self._send(self.rng.choice(["{", '{"processing_type": "x"}']))))
        await asyncio.sleep(self.troubled_for)
        await asyncio.gather(*side)
        self._end_trouble()
        await self._rest()
        everybody.cancel()
        await self._stop_all()
        for order in self.orders:
            order.id = self.id_of(order)
        self.watch.look_around(self.orders, self.table, self.buckets, self.queue)

    async def _send(self, body: str) -> None:
        await asyncio.sleep(self.rng.choice([0.0, 0.0, self.rng.uniform(0, 40)]))
        self.wire.note("user", "sends", body[:160])
        self.queue.send_message(None, QueueUrl=QUEUE, MessageBody=body)

    async def _send_at(self, at: float, body: str) -> None:
        await asyncio.sleep(at)
        self.wire.note("stranger", "sends", body[:160])
        self.queue.send_message(None, QueueUrl=QUEUE, MessageBody=body)

    async def _upload_at(self, at: float, old: Order) -> None:
        """Put a newer manifest in the place of one; its event comes, and that of the old one once more."""
        await asyncio.sleep(at)
        number = len(self.orders)
        order = strangers.new_upload(self.chance, old, number, self.buckets, versioned=self.versioned)
        self.orders.append(order)
        self.wire.note("user", "uploads anew", old.key)
        for body in order.messages:
            await self._send(body)
        await self._send_at(self.chance.uniform(0, 100), old.messages[0])

    async def _go_away(self, at: float) -> None:
        """End all workers for longer than the temp bucket keeps files."""
        await asyncio.sleep(at)
        self.away = asyncio.Event()
        for life in self.workers:
            self.wire.thaw(life)
            self.wire.strike(life, "kill", "the long absence")
        await asyncio.sleep(misfortune.ABSENCE_SECONDS)
        for key in self.buckets.keys(TEMP, "processing/"):
            self.buckets.delete_object(None, Bucket=TEMP, Key=key)
        for order in self.orders:
            order.lost = True
            self.watch.lost.add(self.id_of(order))
        self.wire.hits["long absence"] += 1
        self.away.set()

    def _creator_done(self, life: Life | None) -> None:
        """Kill a worker soon after it has finished a creator."""
        if self.kills_left and life is not None and life not in self.doomed:
            self.kills_left -= 1
            self.doomed.add(life)
            self.loop.call_later(
                self.chance.uniform(0.05, 3), self.wire.strike, life, "kill", "after progress", context=WORLD
            )

    async def _rest(self) -> None:
        """Wait until nothing is left to do; messages that were given up too often are sent again."""
        until = self.loop.now + LONG
        while self.loop.now < until:
            await asyncio.sleep(5)
            given_up = [stored for stored in self.queue.dead if "error_code" not in stored.attributes]
            for stored in given_up:
                self.queue.dead.remove(stored)
                if stored.id not in self.queue.duplicated:
                    self.watch.redriven(stored)
                self.wire.note("user", "redrives", f"{stored.id} {stored.body[:120]}")
                self.queue.send_message(None, QueueUrl=QUEUE, MessageBody=stored.body)
            if not self.queue.messages and not given_up and not self.wire.under_way:
                return
        self.watch.claim(holds=False, otherwise=f"not at rest after {LONG:.0f} s: {list(self.queue.messages.values())}")

    def _end_trouble(self) -> None:
        self.wire.note("-", "THE TROUBLE ENDS", "")
        self.trouble.chances.clear()
        self.trouble.hits_left = 0
        self.kills_left = self.wire.kills_left = 0
        self.wire.refusals = []
        self.queue.duplicates = 0.0
        for life in self.workers:
            life.die_at = None
            self.wire.thaw(life)

    async def _stop_all(self) -> None:
        for stop, _ in self.stops.values():
            stop.set()
        ends = [end for life, end in self.ends.items() if life.state is State.RUNNING]
        if ends:
            _, left = await asyncio.wait(ends, timeout=300)
            self.watch.claim(not left, f"{len(left)} workers do not stop")
        while self.wire.under_way:
            await asyncio.sleep(1)

    def _forget(self) -> None:
        """Close the coroutines of the dead without letting them do anything more."""
        for life in self.workers:
            self.loop.haunt(life)
        tasks = asyncio.all_tasks(self.loop)
        for _ in range(20):
            for task in tasks:
                WORLD.run(task.cancel)
            with contextlib.suppress(NothingLeft):
                self.loop.run_until_complete(WORLD.run(self.loop.create_task, asyncio.sleep(30)))
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                break
        self.loop.close()

    def id_of(self, order: Order) -> str:
        """Return the id that a batch has: a longer one where another with the same digits came first."""
        found = self.table.items.get((f" batch {order.id}", "batch"))
        is_other = found is not None and order.job is not None and found["digest"]["S"] != batch_digest(order.job)
        return order.longer_id if is_other else order.id

    # --- workers ----------------------------------------------------------------------------------------------------

    async def _keep_up_numbers(self) -> None:
        while True:
            await self.away.wait()
            alive = sum(
                life.state in {State.RUNNING, State.FROZEN} and not self.ends[life].done() for life in self.workers
            )
            for _ in range(self.wanted - alive):
                self._start_worker()
            await asyncio.sleep(self.rng.uniform(1, 10))

    def chunk_creators(self) -> int:
        """Return how many creators make a chunk for a worker that starts now; 0: batches are not split."""
        if not self.misfortunes.settings_change:
            return CREATORS_PER_CHUNK if self.split else 0
        return self.chance.choice([0, 2, 3, 5])

    def _start_worker(self) -> None:
        life = Life(f"w{len(self.workers) + 1}", self.rng.uniform(-1.5, 1.5) if self.skewed else 0.0)
        if not self.calm and self.trouble.hits_left and self.trouble.kills and self.rng.random() < 0.3:
            self.trouble.hits_left -= 1
            life.die_at = round(10 ** self.rng.uniform(0.5, 3.3))
        life.part_creators = random.Random(f"{self.seed} parts {life.name}").choice([1, 2, 2, 16])
        self.workers.append(life)
        self.wire.note(life, "STARTS", f"dies at step {life.die_at}" if life.die_at else "")
        self.stops[life] = asyncio.Event(), asyncio.Event()
        context = contextvars.Context()
        context.run(LIFE.set, life)
        self.ends[life] = self.loop.create_task(self._live(life), context=context)

    async def _live(self, life: Life) -> None:
        receiver = put_together(self, life)
        try:
            await receiver.run(*self.stops[life])
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 -- a worker that dies of itself is a finding
            if life.state is State.RUNNING:
                self.watch.claim(holds=False, otherwise=f"{life} ended with {error!r}")

    # --- trouble ----------------------------------------------------------------------------------------------------

    def _troubles(self) -> Iterator[Coroutine[Any, Any, None]]:
        some = self.trouble.hits_left
        for _ in range(self.rng.randint(0, some)):
            yield self._strike_sometime()
        for _ in range(self.rng.choice([0, 0, 1, 3])):
            yield self._stop_one()
        for order in self.orders:
            if self.rng.random() < 0.08:
                yield self._cancel(order)
        chance = random.Random(f"{self.seed} loses")  # of its own: without a loss, a seed's run stays what it was
        if chance.random() < 0.2:
            yield self._lose_files(chance.choice(self.orders), chance)

    async def _strike_sometime(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, min(40, self.troubled_for)))
        running = [life for life in self.workers if life.state is State.RUNNING]
        if running and self.trouble.hits_left:
            self.trouble.hits_left -= 1
            what = self.rng.choice(["kill", "freeze"]) if self.trouble.kills else "freeze"
            self.wire.strike(self.rng.choice(running), what, "some time")

    async def _stop_one(self) -> None:
        """Stop a worker as ECS does."""
        await asyncio.sleep(self.rng.uniform(0, min(60, self.troubled_for)))
        running = [life for life in self.workers if life.state is State.RUNNING and not self.ends[life].done()]
        if not running:
            return
        life = self.rng.choice(running)
        self.wire.note(life, "STOPS", "")
        self.wire.hits["stop"] += 1
        self.stops[life][0].set()
        if self.rng.random() < 0.3:
            await asyncio.sleep(self.rng.uniform(0, 10))
            life.unhurt = False
            life.troubled_at = LONG * 10  # whoever hurries it takes it that messages are left to their time-out
            self.stops[life][1].set()

    async def _lose_files(self, order: Order, chance: random.Random) -> None:
        """Take a batch's files out of the temp bucket as soon as there is one of a kind, as their expiry would."""
        kind = chance.choice(["/chunks/", "/results/", "plan.json", ""])
        while not (
            found := [key for key in self.buckets.keys(TEMP, f"processing/{self.id_of(order)}/") if kind in key]
        ):
            if self.loop.now >= self.troubled_for:
                return
            await asyncio.sleep(chance.uniform(0.1, 5))
        order.lost = True
        self.watch.lost.add(self.id_of(order))
        self.wire.hits["files lost"] += 1
        for key in found if kind in {"", "/chunks/"} else [chance.choice(found)]:
            self.wire.note("user", "loses", key)
            self.buckets.delete_object(None, Bucket=TEMP, Key=key)

    async def _cancel(self, order: Order) -> None:
        await asyncio.sleep(self.rng.uniform(0.1, min(20, self.troubled_for)))
        table = StateTable(self.wire.client(None, self.table, "dynamodb"), "state", ttl_days=30, clock=_wall)
        record = await table.cancel(self.id_of(order))
        order.cancelled = record is not None and record.state is BatchState.CANCELLED
        self.wire.note("user", f"cancels {self.id_of(order)}", str(record and record.state))
        if record is None or not order.cancelled or record.asked is None or order.fails:
            return
        s3 = S3(self.wire.client(None, self.buckets, "s3"), buckets=S3Buckets(OWN_BUCKETS))
        results = S3Results(s3, bucket=OUTPUT, temp_bucket=TEMP, only_new=True, debug=False)
        leases = leasing.Leases(table, owner="user", seconds=self.lease)
        manifests = S3Manifests(s3)
        closing = finish.Finisher(
            manifests=manifests, results=results, ledger=table, leases=leases, chunk_files=None, clock=_wall
        )
        await closing.close_cancelled(record)
        if order.id != self.id_of(order) or order.replaced or self.chance.random() < 0.5:
            return
        await asyncio.sleep(5)
        if order.from_event:
            if self.versioned:
                return  # that would be a batch of its own
            self.buckets.put_object(None, Bucket=INPUT, Key=order.key, Body=order.body)
        order.again = not order.replaced
        self.wire.note("user", "asks again for", order.id)
        order.cancelled = False
        self.queue.send_message(None, QueueUrl=QUEUE, MessageBody=order.messages[0])


def put_together(world: World, life: Life) -> Receiver:
    """Put a worker together as the service does, on the world's servers."""
    client = partial(world.wire.client, life)
    patience = Patience.within(world.lease)
    queue = Queue(client(world.queue, "sqs"), QUEUE, DEAD_LETTERS, patience=patience)
    s3 = S3(client(world.buckets, "s3"), buckets=S3Buckets(OWN_BUCKETS), patience=patience)
    origin = Origin(world, life)
    ports = Ports(
        manifests=S3Manifests(s3),
        results=S3Results(s3, bucket=OUTPUT, temp_bucket=TEMP, only_new=True, debug=False),
        ledger=StateTable(client(world.table, "dynamodb"), "state", ttl_days=30, clock=_wall, patience=patience),
        temp=TempObjects(s3, TEMP),
        queue=queue,
        fetcher=origin,
        decoder=origin,
        composer=None,
        compose=_composed,
        read_memory=lambda: Memory(10.0, None),
        record_metric=_forget_metric,
        clock=_wall,
    )
    shape = Shape(
        owner=life.name,
        lease_seconds=world.lease,
        rules=RULES,
        thresholds=THRESHOLDS,
        creators_in_flight=SLOTS * CREATORS_PER_JOB,
        chunk_creators=world.chunk_creators(),
        part_creators=life.part_creators,
        chunks_at_a_time=2,  # the batches are small here: so are the steps in which their chunks are sent
    )
    return Receiver(
        queue,
        assembled(ports, shape),
        DEFAULTS,
        _NoMetrics(),  # type: ignore[arg-type]
        slots=SLOTS,
        times=ReceiverTimes(wait=20, visibility=world.lease, grace=100),
        breakers=Breakers(
            {
                Dependency.S3: partial(s3.probe, (INPUT, OUTPUT, TEMP)),
                Dependency.SQS: queue.probe,
                Dependency.DYNAMODB: ports.ledger.probe,
                Dependency.DISK: breaker.probe_disk,
            }
        ),
    )


class Origin:
    """Fetches and decodes. The URL says what comes of it: .../{order}/{creator}/{row}/{kind}."""

    def __init__(self, world: World, life: Life) -> None:
        self._world = world
        self._life = life

    async def fetch(self, url: str, *, timeout: float, max_retries: int, slots: Any) -> Fetched:  # noqa: ASYNC109 -- the port has it
        world = self._world
        _, _, _, number, name, _, kind = url.split("/")
        order = world.orders[int(number)]
        async with slots:
            if not order.shares_links:
                world.watch.fetched(self._life, world.id_of(order), name)
            if name in order.killers:
                world.watch.deaths[world.id_of(order), name] += 1
                world.wire.strike(self._life, "kill by a creator", name)
                await world.loop.create_future()
            await asyncio.sleep(world.rng.expovariate(1 / world.pace))
        if kind == "flaky":
            kind = world.rng.choice(["good", "gone"])
        if kind == "gone":
            raise ImageError(ImageReason.NOT_FOUND, "gone")
        body = f"same {name}" if kind == "same" else f"{kind} {url}"
        return Fetched(body.encode(), 1, 0.25)

    async def decode(self, data: bytes, spec: CellSpec) -> Cell:
        if data.startswith(b"bad"):
            raise ImageError(ImageReason.NOT_AN_IMAGE, "not an image")
        return Cell(hashlib.sha256(data).digest(), 300, 400, "JPEG")


class _NoMetrics:
    def record(self, name: str, value: float) -> None:
        pass


def _forget_metric(name: str, value: float) -> None:
    pass


def _wall() -> float:
    return time.time()  # looked up at each call: it is replaced while a run lasts


PREVIEW = preview_of(Image.new("RGB", (7, 5)), PreviewSpec(35, 50))


def _composed(cells: list[bytes], **_: Any) -> tuple[bytes, bytes | None]:
    return b"\xff\xd8\xff\xd9 collage" + hashlib.sha256(b"".join(cells)).digest(), PREVIEW


class Ear:
    """Takes the place of a module's log. What the code itself calls unexpected is a finding."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def info(self, _event: str, **_: Any) -> None:
        pass

    def warning(self, event: str, reason: str = "", **_: Any) -> None:
        cost = event == "message.released" and reason == JobReason.INTERRUPTED
        self._watch.claim(not cost, "an interruption cost an attempt")

    def error(self, event: str, exc_info: BaseException | None = None, **_: Any) -> None:
        self._watch.claim("unexpectedly" not in event, f"{event}: {exc_info!r}")

    def exception(self, event: str, **_: Any) -> None:
        life = LIFE.get()
        if life is None or life.state is not State.GHOST:
            self._watch.claim(holds=False, otherwise=f"{event}: {sys.exc_info()[1]!r}")


@contextmanager
def replaced(watch: Watch, seed: int) -> Iterator[None]:
    """Seed what is drawn elsewhere, and put stand-ins where the code uses what this run has none of."""
    ear, state = Ear(watch), random.getstate()
    modules = [batch, breaker, calls, chunk, creator, creator_loop, suspects, fate, finish, gate, heartbeat, leasing]
    modules += [receive, batch_log, part_work]
    random.seed(seed)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with contextlib.ExitStack() as stack:
            for module in modules:
                if hasattr(module, "log"):
                    stack.enter_context(mock.patch.object(module, "log", ear))
            yield
    finally:
        random.setstate(state)
        if collecting:
            gc.enable()
        gc.collect(1)


def simulate(seed: int, misfortunes: Misfortunes | None = None) -> Ran:
    """Run one seed, with the misfortunes that it draws or with these."""
    return World(seed, misfortunes).run()
