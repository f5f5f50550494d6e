"""What becomes of a message: the one place where failures are turned into outcomes. Pure."""

from collections.abc import Iterable

from worker.errors import Dependency, JobError, Postponed, RetryableError, TerminalError, Unavailable
from worker.model import Outcome, Retryable, Succeeded, Terminal


def outcome_of(error: JobError, batch_id: str | None) -> Outcome:
    """Say what a failure means for its message.

    ================  =========================================================  ===================================
    failure           for example                                                outcome
    ================  =========================================================  ===================================
    TerminalError     the manifest has no URL column                             dead-letter queue, with the reason
    RetryableError    a chunk file is no gzip: whoever wrote it was interrupted  visible again after a backoff
    Unavailable       S3 answers 503 to every call                               a fresh copy, at no cost
    LeaseHeld         the same object was notified twice                         a fresh copy when the lease ends
    LeaseLost         the machine was frozen for longer than the lease           a fresh copy, after a moment
    Interrupted       ECS scales in                                              a fresh copy, at once
    ================  =========================================================  ===================================
    """
    match error:
        case TerminalError():
            return Terminal(error.reason, str(error), batch_id)
        case Postponed():
            return Retryable(
                error.reason, str(error), costs_attempt=False, delay=error.delay, refused_by=_refused_by(error)
            )
        case RetryableError():
            return Retryable(error.reason, str(error))
    raise TypeError(f"{type(error).__name__} is no failure of a job")


def _refused_by(error: BaseException | None) -> Dependency | None:
    """Return the dependency at which a failure began, for example where a lease ran out because DynamoDB was away."""
    while error is not None and not isinstance(error, Unavailable):
        error = error.__cause__
    return error.dependency if error else None


def combined(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of a message with several batches: retried if any must be, else failed if any did."""
    found = list(outcomes)
    for kind in (Retryable, Terminal):
        for outcome in found:
            if isinstance(outcome, kind):
                return outcome
    return Succeeded()
