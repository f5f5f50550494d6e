"""The faults that were seen in earlier workers, each put back on purpose; see docs/simulation.md.

The simulation finds those of the worker's logic; the tests that are named go red with each.
"""

from typing import NamedTuple

Edit = tuple[str, str, str]
"""A file, a regular expression of what stands in it, and what is put there instead."""


class Mutation(NamedTuple):
    """One rule that is taken out. `only` is the misfortune with which it is looked for, in every seed."""

    file: str
    pattern: str
    replacement: str
    only: str | None = None
    tests: tuple[str, ...] = ()
    """The tests that go red, as pytest names them below `tests/`."""
    more: tuple[Edit, ...] = ()
    simulated: bool = True
    """Whether the simulation knows of what it breaks."""


FAULTS: dict[str, Mutation] = {
    "1: a creator may end its workers without end": Mutation(
        "worker/jobs/attempts.py",
        r"STRIKES = 3",
        "STRIKES = 10**9",
        "killers",
        ("unit/test_creator_loop.py::test_a_creator_that_ends_its_worker_each_time_costs_three_and_the_rest_is_done",),
        (("worker/jobs/attempts.py", r"ATTEMPTS = 3", "ATTEMPTS = 10**9"),),
    ),
    "2: progress does not set the count of attempts back": Mutation(
        "worker/jobs/creator_loop.py",
        r"await self\._ledger\.note_progress\(self\.batch\.lease\)",
        "pass",
        "kills on progress",
        ("unit/test_creator_loop.py::test_an_attempt_is_forgotten_at_the_first_creator_that_is_done",),
    ),
    "3: throttling, outages and missing rights cost attempts": Mutation(
        "worker/aws/calls.py",
        r"    if meaning in PASSING:\n        return Unavailable",
        "    if meaning not in PASSING:\n        return Unavailable",
        "outages",
        ("unit/test_calls.py",),
    ),
    "4: a transaction that was throttled counts as answered": Mutation(
        "worker/aws/failures.py",
        r"for meaning in \(Meaning\.UNKNOWN, Meaning\.PERMANENT, \*sorted\(PASSING\)\):",
        "for meaning in (Meaning.UNKNOWN, Meaning.PERMANENT):",
        "throttled transactions",
        ("unit/test_failures.py",),
    ),
    "5: a conflict of a plain write is not waited out": Mutation(
        "worker/aws/failures.py",
        r"TransactionConflictException TransactionConflict ",
        "TransactionConflict ",
        None,
        ("unit/test_failures.py", "unit/test_calls.py"),
    ),
    "6: a chunk that cannot be done does not close what it stood for": Mutation(
        "worker/jobs/chunk.py",
        r"await self\._lose\(chunk, batch, known, groups, error\)",
        "pass",
        "absence",
        ("unit/test_chunk.py::test_a_chunk_whose_manifest_is_gone_too_is_closed_and_the_batch_comes_to_its_end",),
    ),
    "8: a planner that takes over cuts chunks as its own settings have them": Mutation(
        "worker/jobs/batch.py",
        r"size = asked_of\(record\)\n        bodies",
        'size = Asked("", "", chunk_files.creators, chunk_files.rows)\n        bodies',
        "settings",
        ("unit/test_chunk.py::test_a_batch_that_is_planned_again_with_other_settings_keeps_its_chunks",),
    ),
    "9: a chunk that was never planned is looked for": Mutation(
        "worker/jobs/chunk.py",
        r"if chunk\.number > known\.chunks_written:",
        "if False:",
        "forgeries",
        ("unit/test_chunk.py::test_a_chunk_that_was_never_planned_touches_no_batch",),
    ),
    "10: a cancelled batch cannot be begun anew": Mutation(
        "worker/aws/batch_records.py",
        r"case BatchState\.FAILED \| BatchState\.CANCELLED:",
        "case BatchState.FAILED:",
        None,
        ("integration/test_dynamodb.py::test_a_batch_that_is_over_is_begun_anew_by_who_asks_for_it_later",),
    ),
    "11: a creator's rows beyond those that are looked at are told nowhere": Mutation(
        "worker/jobs/batch.py",
        r"    if not count:\n        return rejects",
        "    return rejects",
        None,
        ("unit/test_batch.py::test_no_row_is_left_out_in_silence_however_many_a_creator_has",),
        simulated=False,
    ),
    "12: a batch that shares its digits with another counts as that one": Mutation(
        "worker/jobs/batch.py",
        r"if lease is None and record\.asked is not None and record\.asked\.digest != batch_digest\(job\):",
        "if False:",
        "uploads",
        ("unit/test_batch.py::test_a_batch_whose_eight_digits_another_has_gets_an_id_with_more_of_them",),
    ),
    "12: other settings make no other batch": Mutation(
        "worker/keys.py",
        r"identity \+ job\.explicit",
        "identity",
        "uploads",
        ("unit/test_keys.py",),
    ),
    "12: the archive keeps the last of those with one name": Mutation(
        "worker/aws/stores.py",
        r'if there is not None and there\.get\("batch-id"\) != batch_id:',
        "if False:",
        "uploads",
        ("integration/test_s3.py",),
    ),
    "13: a batch whose manifest was replaced is left as it is": Mutation(
        "worker/jobs/batch.py",
        r"await self\._close_replaced\(named, head\)",
        "pass",
        "uploads",
        ("unit/test_batch.py::test_a_batch_whose_manifest_was_replaced_before_it_was_planned_does_not_stay_running",),
    ),
    "14: a full disk costs attempts": Mutation(
        "worker/jobs/disk.py",
        r"NO_ROOM = frozenset\(\{errno\.ENOSPC, errno\.EDQUOT\}\)",
        "NO_ROOM = frozenset()",
        "full disks",
        ("unit/test_batch.py::test_a_disk_that_is_full_when_the_summary_is_written_costs_no_attempt",),
    ),
    "15: an object in Glacier is waited for": Mutation(
        "worker/aws/failures.py",
        r'Meaning\.ARCHIVED: "InvalidObjectState',
        'Meaning.FORBIDDEN: "InvalidObjectState',
        "uploads",
        ("unit/test_failures.py",),
        (("worker/aws/s3.py", r"if archived := archive_of\(found\):", "if archived := None:"),),
    ),
    "15: a refusal without a body is taken for permanent": Mutation(
        "worker/aws/failures.py",
        r"403: Meaning\.FORBIDDEN",
        "403: Meaning.PERMANENT",
        "denied looks",
        ("unit/test_failures.py",),
        (("worker/aws/s3.py", r"if status_of\(error\) >= SERVER_ERROR:\n                raise", "raise"),),
    ),
    "16: one job's dead names may hold every look-up": Mutation(
        "worker/download/host_names.py",
        r"LOOKUPS_PER_JOB = 16",
        "LOOKUPS_PER_JOB = 10**6",
        None,
        ("unit/test_host_names.py",),
        simulated=False,
    ),
    "17: a throttled lift of scale-in protection is not tried again": Mutation(
        "worker/service/protection.py",
        r"LAST_TRIES = 3",
        "LAST_TRIES = 1",
        None,
        ("unit/test_protection.py::test_a_throttled_lift_at_the_end_is_tried_again_and_not_for_ever",),
        simulated=False,
    ),
    "18: a key that is no text is internal_error": Mutation(
        "worker/jobs/messages.py",
        r"    except UnicodeEncodeError:\n        return MAX_KEY \+ 1",
        "    except UnicodeEncodeError:\n        raise",
        "forgeries",
        ("unit/test_messages.py",),
    ),
    "18: a true .error.json is overwritten by a forged event's": Mutation(
        "worker/aws/stores.py",
        r"if await self\._s3\.put_new\(manifest\.bucket, key, body, headers=ours\):",
        "if await self._s3.put_new(manifest.bucket, key, body, headers=ours, only_new=False):",
        "forgeries",
    ),
}
