"""What must hold: some of it at every write, the rest when everything is quiet."""

import gzip
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tests.simulation.clock import EPOCH, Life, State
from tests.simulation.dynamodb import DynamoDb
from tests.simulation.orders import INPUT, OUTPUT, TEMP, Order
from tests.simulation.s3 import Buckets, Object
from tests.simulation.sqs import Sqs, Stored
from worker.aws.batch_log import LOG_KEY
from worker.aws.table import from_item
from worker.jobs.part_lines import RowLine, read_row, record_of_rows, unpacked
from worker.keys import archive_key, batch_hash, is_part, results_prefix, summary_key
from worker.model import CreatorRecord

TERMINAL = {"completed", "failed"}
CLOCKS_APART = 3.5
"""Seconds that two workers' clocks may differ here."""

STRIKES = 3
MOST_DEATHS = 3
"""Workers that one creator may end."""

SHARED = ("n_", "e_")
"""Counters of a batch: those who do its chunks add to them without its lease."""


OVER = {"failed", "cancelled"}
"""States in which anybody may note what was done."""


class Watch:
    """Sees every write, and looks at what is left in the end. `broken` tells what did not hold."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.completions: Counter[tuple[str, str]] = Counter()
        self.begun: dict[tuple[Life | None, str, str], int] = {}
        self.opened: dict[tuple[Life | None, str], int] = {}
        self.done_at: dict[tuple[str, str], int] = {}
        self.stale_documents: Counter[str] = Counter()
        self.redrives = 0
        self.replaced_reasons = 0
        self.deaths: Counter[tuple[str, str]] = Counter()
        """Workers that each killer ended."""
        self.given_up = 0
        """Creators that were given up although they end no worker: they were there each time when one was killed."""
        self.may_come: set[str] = set()
        """Batches that a forged message may lead to."""
        self.creator_done: Callable[[Life | None], None] = lambda _life: None
        self.lost: set[str] = set()
        """Batches of which files were lost: the lease on a chunk without its file runs out by itself."""
        self._holders: dict[tuple[str, str], Life | None] = {}
        self._closed: set[str] = set()
        self._writes = 0
        self.ends: Callable[[], int] = lambda: 0
        self.is_refused: Callable[[], bool] = lambda: False
        self.is_undisturbed: Callable[[], bool] = lambda: False
        self.now: Callable[[], float] = lambda: 0.0
        self.newest: Callable[[str, str], Object | None] = lambda _bucket, _key: None

    def claim(self, holds: object, otherwise: str) -> None:
        if not holds and len(self.broken) < 20:
            self.broken.append(f"[{self.now():.3f}] {otherwise}")

    # --- at every write ---------------------------------------------------------------------------------------------

    def item_changed(self, life: Life | None, old: Any, new: Any) -> None:
        self._writes += 1
        before, after = from_item(old or {}), from_item(new)
        if after["creator_name"].startswith(" batch "):
            self._lease_changed(life, before, after)
        elif after["creator_name"] != LOG_KEY:
            self._creator_changed(life, before, after)

    def _creator_changed(self, life: Life | None, before: Any, after: Any) -> None:
        name, batch, status = after["creator_name"], after["batch_id"], after["status"]
        what = f"the record of {name} in {batch}"
        self.claim(before.get("batch_id", batch) == batch, f"{life} took the place of another batch with {what}")
        self.claim(before.get("status") not in TERMINAL, f"{life} wrote {what} again although it was {before}")
        self.claim(before.get("fence", 0) <= after["fence"], f"{life} wrote {what} under an older fence")
        if status == "processing":
            self.begun[life, batch, name] = self._writes
        else:
            self._follows_from_its_part(what, after)
            self.done_at[batch, name] = self._writes
            self.creator_done(life)

    def _follows_from_its_part(self, what: str, item: Any) -> None:
        """The part is the truth, and there before the record, whoever put it."""
        if item["errors"] == {"record_too_large": 1}:
            return
        part = self.newest(OUTPUT, item.get("part_s3_key", ""))
        self.claim(part is not None, f"{what} is told before its part is there")
        if part is not None:
            rows = [row for row in _rows(part) if row.creator == item["creator_name"]]
            told = record_of_rows(item["creator_name"], rows, hash_algorithm="sha256")
            self.claim(rows, f"the part of {what} does not tell of it")
            self.claim(
                _as_told(told) == _as_recorded(item), f"{what} is {_as_recorded(item)}, its part {_as_told(told)}"
            )

    def _rows_hold(self, order: Order, buckets: Buckets, *, whole: bool) -> None:
        """Each row of the manifest stands in the data set once, and nothing else does."""
        assert order.job is not None
        prefix = results_prefix(order.job.output_prefix, order.id)
        parts = [key for key in buckets.keys(OUTPUT, prefix) if is_part(key)]
        rows = [row for key in parts if (there := buckets.newest(OUTPUT, key)) for row in _rows(there)]
        found = Counter((row.creator, row.url) for row in rows)
        self.claim(max(found.values(), default=1) == 1, f"{order.id} tells rows twice: {found}")
        self.claim(set(found) <= order.rows, f"{order.id} tells rows that nobody asked for: {set(found) - order.rows}")
        if whole:
            self.claim(set(found) == order.rows, f"{order.id} leaves out rows: {order.rows - set(found)}")

    def _lease_changed(self, life: Life | None, before: Any, after: Any) -> None:
        batch, part = after["creator_name"].removeprefix(" batch "), after["processing_date"]
        what = f"{part} of {batch}"
        self.claim(before.get("fence", 0) <= after.get("fence", 0), f"{life} lowered the fence of {what}")
        if not before:
            self.opened[life, batch] = self._writes
        if before and before["fence"] == after["fence"] and life is not None:
            changed = {name for name in after if before.get(name) != after[name]} - {
                "updated_at",
                "ttl",
                "chunks_done",
                "attempts",
            }
            ours = before["lease_owner"] == life.name
            self.claim(
                ours or all(name.startswith(SHARED) for name in changed) or before["state"] in OVER,
                f"{life} changed {sorted(changed)} of {what}, on which {before['lease_owner']} has the lease",
            )
        if before.get("state") == "running" and before["fence"] < after["fence"]:
            left = before["lease_expires"] - (EPOCH + self.now())
            self.claim(left < CLOCKS_APART, f"{life} took {what} while {before['lease_owner']} had the lease")
            holder = self._holders.get((batch, part))
            well = holder is not None and holder.state is State.RUNNING and holder.unhurt and batch not in self.lost
            self.claim(not (well and before["lease_expires"]), f"{holder} let its lease on {what} run out for nothing")
        if before.get("fence") != after["fence"]:
            self._holders[batch, part] = life
        if before:
            self.claim(before["state"] != "completed", f"{life} changed {what}, which was {before['state']}")
        if after["state"] == "completed":
            self.completions[batch, part] += 1
            if part == "batch":
                self._closed.add(batch)
        self.claim(
            after.get("chunks_done", 0) <= after.get("chunks_total", 1 << 30),
            f"{what} has more chunks done than it has",
        )

    def object_changed(self, life: Life | None, bucket: str, key: str, old: Object | None, new: Object) -> None:
        if old is None or old.body == new.body:
            return
        if bucket == OUTPUT and "/by-creator/" in key:
            self.claim(holds=False, otherwise=f"{life} overwrote {key} with other bytes")
        elif bucket == INPUT and key.startswith("archived/"):
            self.claim(holds=False, otherwise=f"{life} overwrote s3://{bucket}/{key} with other bytes")
        elif bucket == TEMP and "/chunks/" in key:
            self.claim(_groups(old.body) == _groups(new.body), f"{life} wrote other creators into {key}")
        elif "processing-summaries" in key and any(batch in key for batch in self._closed):
            self.stale_documents["summary"] += 1
            self.claim(_timeless(old) == _timeless(new), f"{life} wrote something else into {key} of a closed batch")
        elif is_part(key):
            self.claim(holds=False, otherwise=f"{life} overwrote the part {key}")

    def fetched(self, life: Life | None, batch: str, creator: str) -> None:
        """A picture is being asked for: for a creator that is done only by who had begun before.

        Who is the first to work on a batch or on a chunk has begun all of it.
        """
        begun = self.begun.get((life, batch, creator), self.opened.get((life, batch)))
        done = self.done_at.get((batch, creator))
        self.claim(begun is not None, f"{life} renders {creator} of {batch} without having begun it")
        if begun is not None and done is not None:
            self.claim(begun <= done, f"{life} renders {creator} of {batch} again after it was done")

    def redriven(self, stored: Stored) -> None:
        """A message ran out of receives: each of them must have met with some trouble."""
        self.redrives += 1
        for at, life in stored.receives:
            excused = life is None or life.state is not State.RUNNING or life.troubled_at >= at - 1
            self.claim(
                excused, f"{stored.id} was given up after 3 receives, but nothing happened to {life} at {at:.1f}"
            )

    # --- in the end -------------------------------------------------------------------------------------------------

    def look_around(self, orders: Iterable[Order], table: DynamoDb, buckets: Buckets, queue: Sqs) -> None:
        creators: dict[str, list[Any]] = defaultdict(list)
        batches: dict[tuple[str, str], Any] = {}
        for item in map(from_item, table.items.values()):
            name = item["creator_name"]
            if name.startswith(" batch "):
                batches[name.removeprefix(" batch "), item["processing_date"]] = item
            elif name != LOG_KEY:
                creators[item["batch_id"]].append(item)
        self.claim(not queue.messages, f"messages are left: {list(queue.messages.values())}")
        expected = list(orders)
        for order in expected:
            record = batches.get((order.id, "batch"))
            if record is None:
                self.claim(order.replaced, f"nobody knows of {order.id}")
            elif record["state"] == "cancelled":
                # Asked for again, it cannot begin anew where its upload was replaced before that was read.
                in_vain = order.again and order.replaced
                self.claim(order.cancelled or in_vain, f"{order.id} is cancelled, and nobody cancelled it")
                self.claim(not order.again or in_vain, f"{order.id} stays cancelled though it was asked for again")
                self.claim(record.get("summary_key"), f"{order.id} is cancelled and has no summary")
                self._records_hold(order, creators[order.id], buckets, whole=False)
            elif order.fails or (record["state"] == "failed" and self._may_fail(order, record)):
                self._failed(order, record, buckets)
                self._records_hold(order, creators[order.id], buckets, whole=False)
            else:
                self._completed(order, record, creators[order.id], buckets)
        known = {order.id for order in expected} | self.may_come
        unknown = {batch for batch, _ in batches} | set(creators)
        for batch in unknown - known:
            self.claim("message-" in batch, f"nobody asked for {batch}")
        may_fail = self.may_come | {order.id for order in expected if order.fails or order.lost or order.replaced}
        failed = {batch for (batch, part), item in batches.items() if part == "batch" and item["state"] == "failed"}
        letters = {stored.attributes.get("batch_id", "") for stored in queue.dead}
        self.claim(self.is_refused() or failed & known <= letters, f"there is no dead letter of {failed - letters}")
        for stored in queue.dead:
            batch, code = stored.attributes.get("batch_id", ""), stored.attributes.get("error_code")
            is_forged = "batch_chunk" in stored.body and code in {"bad_value", "batch_unknown"}
            is_ended = code == "worker_crashed" and (self.ends() >= STRIKES or self.is_refused())
            known_to = batch in may_fail or "message-" in batch or is_forged or is_ended
            self.claim(known_to, f"a dead letter too many: {batch}, {code}: {stored.attributes}")

    def _may_fail(self, order: Order, record: Any) -> bool:
        """Say whether a batch with nothing wrong about it may have failed: three workers ended before any progress."""
        is_ended = record.get("error_code") == "worker_crashed" and self.ends() >= STRIKES
        is_ended |= record.get("error_code") == "worker_crashed" and self.is_refused()  # see docs/simulation.md
        self.given_up += is_ended
        return order.lost or order.replaced or is_ended

    def _failed(self, order: Order, record: Any, buckets: Buckets) -> None:
        self.claim(record["state"] == "failed", f"{order.id} is {record['state']}, and had to fail")
        # Where a worker is held up between noting the failure and archiving, another may begin anew, and then finds
        # the manifest archived under its hands. A known weakness; see docs/simulation.md.
        replaced = order.from_event and record.get("error_code") == "manifest_missing"
        self.replaced_reasons += replaced
        reasons = {order.fails or "chunk_missing", "worker_crashed"} | (
            {"manifest_changed", "manifest_missing"} if order.replaced else set()
        )
        self.claim(
            replaced or record.get("error_code") in reasons, f"{order.id} failed with {record.get('error_code')}"
        )
        if order.from_event:
            known = [archive_key(order.key, failed=True, suffix=suffix) for suffix in ("", batch_hash(order.id))]
            told = [buckets.newest(INPUT, key + ".error.json") for key in known]
            ours = [each for each in told if each is not None and each.metadata.get("batch-id") == order.id]
            self.claim(ours, f"nothing tells why {order.key} failed")
            if order.fails in {"manifest_archived", "manifest_forbidden"} or order.replaced:
                return  # it cannot be moved
            there = [buckets.newest(INPUT, key) for key in known]
            is_moved = any(each is not None and each.body == order.body for each in there)
            self.claim(is_moved, f"{order.key} is not archived as failed")
            self.claim(buckets.newest(INPUT, order.key) is None, f"{order.key} is still there")

    def _completed(self, order: Order, record: Any, creators: list[Any], buckets: Buckets) -> None:
        self.claim(record["state"] == "completed", f"{order.id} is {record['state']}")
        self.claim(self.completions[order.id, "batch"] == 1, f"{order.id} was closed {self.completions} times")
        self.claim(
            record.get("chunks_done", 0) == record.get("chunks_total", 0), f"{order.id} has chunks left: {record}"
        )
        self._records_hold(order, creators, buckets, whole=True)
        self._summary_holds(order, record, creators, buckets)
        if order.body:
            keys = [archive_key(order.key, failed=False, suffix=suffix) for suffix in ("", batch_hash(order.id))]
            there = [buckets.newest(INPUT, key) for key in keys]
            if order.from_event:
                is_moved = any(each is not None and each.body == order.body for each in there)
                self.claim(is_moved or order.replaced, f"{order.key} is not archived")
            here = buckets.newest(INPUT, order.key) is not None
            self.claim(here is not order.from_event, f"{order.key} is {'still' if here else 'no longer'} there")

    def _records_hold(self, order: Order, creators: list[Any], buckets: Buckets, *, whole: bool) -> None:
        found = Counter(item["creator_name"] for item in creators)
        self.claim(max(found.values(), default=1) == 1, f"{order.id} has creators twice: {found}")
        self._rows_hold(order, buckets, whole=whole and not _is_nameless(order))
        self.claim(set(found) <= set(order.creators), f"{order.id} has creators that nobody asked for: {found}")
        if whole and not _is_nameless(order):  # where an inline manifest's chunks are gone, so are names
            self.claim(set(found) == set(order.creators), f"{order.id} lost {set(order.creators) - set(found)}")
        shown = set()
        self._deaths_hold(order)
        for item in creators:
            what, usable = f"{item['creator_name']} of {order.id}", order.creators.get(item["creator_name"])
            keys = item.get("collage_s3_keys", [item["collage_s3_key"]] if "collage_s3_key" in item else [])
            shown |= set(keys)
            if whole and not _is_nameless(order):
                self.claim(item["status"] in TERMINAL, f"{what} is {item['status']}")
            for key in keys:
                there = buckets.newest(OUTPUT, key)
                self.claim(there is not None, f"{what} has no {key}")
                if there is not None:
                    self.claim(there.metadata["batch-id"] == order.id, f"{key} of {what} is another batch's")
            if item["status"] in TERMINAL:
                self._objects_hold(order, item, keys, buckets)
            if self._is_given_up(order, item):
                continue
            if usable is not None and item["status"] in TERMINAL:
                self.claim(item["status"] == ("completed" if usable else "failed"), f"{what} is {item['status']}")
                self.claim(item["images_processed"] == usable, f"{what} has {item['images_processed']} of {usable}")
                self.claim(len(keys) == -(-usable // 2), f"{what} has the pages {keys}")
        if whole and not self._gave_up(order, creators) and not _is_nameless(order):
            written = {
                key
                for key in buckets.keys(OUTPUT)
                if "/by-creator/" in key and buckets.objects[OUTPUT, key][-1].metadata["batch-id"] == order.id
            }
            self.claim(written == shown, f"{order.id} has collages that no record tells of: {written ^ shown}")

    def _deaths_hold(self, order: Order) -> None:
        most = MOST_DEATHS if self.is_undisturbed() else 2 * MOST_DEATHS
        most *= 1 + order.again  # a batch that is begun anew forgets whom it suspected
        most *= 1 + self.is_refused()  # an end of which an outage may be the cause is held against nobody
        for name in order.killers:
            self.claim(self.deaths[order.id, name] <= most, f"{name} ended {self.deaths[order.id, name]} workers")

    def _is_given_up(self, order: Order, item: Any) -> bool:
        """Say whether a creator was rightly recorded as failed without a look at its pictures."""
        name, errors = item["creator_name"], item["errors"]
        if item["status"] != "failed" or len(errors) != 1 or item["error_count"] != 1:
            return False
        if name in order.killers and errors == {"worker_crashed": 1}:
            return True
        if name in order.too_large:
            return bool(errors == {"record_too_large": 1})
        if errors in ({"worker_crashed": 1}, {"work_lost": 1}) and (self.ends() >= STRIKES or self.is_refused()):
            self.given_up += 1
            return True
        return bool(errors == {"work_lost": 1} and order.lost)

    def _gave_up(self, order: Order, creators: list[Any]) -> bool:
        return any(self._is_given_up(order, item) for item in creators)

    def _objects_hold(self, order: Order, item: Any, keys: list[str], buckets: Buckets) -> None:
        """Hold a record against the objects that it tells of: how many pictures they show, and their bytes' hash."""
        pages = [buckets.newest(OUTPUT, key) for key in keys]
        if not pages or None in pages:
            return
        what = f"{item['creator_name']} of {order.id}"
        images = sum(int(page.metadata["images"]) for page in pages if page is not None)
        self.claim(
            images == item["images_processed"], f"{what} tells of {item['images_processed']} images, not {images}"
        )
        hashes = [hashlib.sha256(page.body).hexdigest() for page in pages if page is not None]
        told = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        self.claim(item["content_hash"] == told, f"{what} has a hash that no object has")

    def _summary_holds(self, order: Order, record: Any, creators: list[Any], buckets: Buckets) -> None:
        prefix = record.get("summary_key", "").partition("results/")[0]
        key = summary_key(prefix, order.id)
        there = buckets.newest(OUTPUT, key)
        self.claim(there is not None and record.get("summary_key") == key, f"{order.id} has no summary at {key}")
        self.claim(buckets.newest(OUTPUT, summary_key(prefix, order.id, "html")), f"{order.id} has no report")
        if there is None:
            return
        summary = json.loads(there.body)
        if _is_nameless(order):  # the names of a lost chunk's creators stood in its file alone
            self.claim(summary["counts"]["creators_total"] == len(order.creators), f"{order.id} does not count all")
            return
        told = {line["creator"]: (line["status"], line["images_processed"]) for line in summary["creators"]}
        real = {item["creator_name"]: (item["status"], item["images_processed"]) for item in creators}
        self.claim(told == real and len(summary["creators"]) == len(told), f"the summary of {order.id} tells {told}")
        statuses = Counter(item["status"] for item in creators)
        sums = {
            "creators_total": len(creators),
            "creators_completed": statuses["completed"],
            "creators_failed": statuses["failed"],
            "images_processed": sum(item["images_processed"] for item in creators),
            "images_failed": sum(item["error_count"] for item in creators),
        }
        for name, value in sums.items():
            self.claim(
                summary["counts"][name] == value, f"{order.id}: {name} is {summary['counts'][name]}, not {value}"
            )
        self.claim(summary["counts"]["rejects_total"] == order.rejects, f"{order.id} tells of other rejects")
        counted = {name: value for name, value in record.items() if name.startswith("n_")}
        for name, value in counted.items():
            self.claim(sums.get(name[2:], value) == value, f"{order.id} counted {name} {value}, not {sums}")


def _rows(part: Object) -> list[RowLine]:
    return [read_row(line) for line in unpacked(io.BytesIO(part.body))]


def _as_told(record: CreatorRecord) -> dict[str, Any]:
    return {
        "status": record.status.value,
        "images_processed": record.images_processed,
        "keys": list(record.collage_keys),
        "errors": dict(record.errors),
        "content_hash": record.content_hash,
        "duplicates": record.duplicates,
    }


def _as_recorded(item: Any) -> dict[str, Any]:
    keys = item.get("collage_s3_keys", [item["collage_s3_key"]] if "collage_s3_key" in item else [])
    told = {name: item[name] for name in ("status", "images_processed", "errors")}
    return told | {"keys": keys, "content_hash": item.get("content_hash"), "duplicates": item.get("duplicates", 0)}


def _is_nameless(order: Order) -> bool:
    """Say whether a lost chunk's creators are known to nobody: their names stood in its file alone."""
    return order.lost and (not order.key or order.replaced)


def _groups(body: bytes) -> list[bytes]:
    return gzip.decompress(body).splitlines()[1:]


def _timeless(there: Object) -> Any:
    """Return what a summary tells besides times."""
    try:
        told = json.loads(there.body)
    except ValueError:
        return None  # the report
    for name in ("finished_at", "durations", "message_id"):
        told.pop(name, None)
    for line in told["creators"]:
        line.pop("seconds")
    return told
