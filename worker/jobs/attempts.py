"""When a unit of work is given up: attempts without progress, and creators that end their workers. Pure.

An attempt is a take-over after a worker that ended without giving its lease back, or a failure that nobody foresaw.
Progress (a creator that is done, chunks that are sent) sets the count back to nothing.
"""

from worker.errors import JobReason, Postponed, TerminalError
from worker.model import BatchRecord

ATTEMPTS = 3
"""Attempts in a row without progress that end the work."""

STRIKES = 3
"""Workers that ended while a creator was in flight, after which it is recorded as failed."""

ATTEMPTS_WITH_SUSPECTS = 2 * ATTEMPTS
"""Attempts that end the work although creators are suspected: none of them was on trial when the workers ended."""


def last_receive() -> Postponed:
    """Return why work is put off whose message SQS gives up after this receive: a fresh copy takes its place."""
    return Postponed(JobReason.LAST_RECEIVE, "a fresh copy goes on, as the queue would give this one up")


def check_attempts(record: BatchRecord) -> None:
    """Raise `TerminalError(worker_crashed)` where workers end at this unit, and no creator of it is to blame.

    A batch whose chunks are being done is not worked on itself.
    """
    if record.chunks_total is not None and record.chunks_done < record.chunks_total:
        return
    allowed = ATTEMPTS_WITH_SUSPECTS if record.strikes else ATTEMPTS
    if record.on_trial is None and record.attempts >= allowed:
        raise TerminalError(
            JobReason.WORKER_CRASHED,
            f"{record.attempts} workers in a row ended at this work before it made any progress; look into their last "
            "log lines (memory is the usual cause), then redrive the message",
        )
