"""What failures and several outcomes come to for a message. Pure."""

from collections.abc import Iterable

from worker.errors import Interrupted, JobReason, LeaseLost, TerminalError, WorkerError
from worker.model import Outcome, Retryable, Succeeded, Terminal

AFTER_A_LOSS = 5.0
"""Seconds until a message is looked at again whose lease another worker took."""


def outcome_of(error: WorkerError, batch_id: str | None) -> Outcome:
    """Say what a failure does to the message."""
    text = str(error)
    match error:
        case TerminalError():
            return Terminal(error.reason, text, batch_id)
        case LeaseLost():
            return Retryable(error.reason, text, costs_attempt=False, delay=AFTER_A_LOSS)
        case Interrupted():
            return Retryable(error.reason, text, costs_attempt=False)
        case _:
            return Retryable(JobReason(error.reason), text)


def combined(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the fate of a message with several batches: retried if any must be, else failed if any did."""
    found = list(outcomes)
    for kind in (Retryable, Terminal):
        for outcome in found:
            if isinstance(outcome, kind):
                return outcome
    return Succeeded()
