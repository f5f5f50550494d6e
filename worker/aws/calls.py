"""One call to AWS as the worker makes it: tried again while its failure may pass, and told as what it means at its end.

The SDK tries nothing again (see `worker.aws.clients`): its retries draw on a quota for the whole client, and once some
dozens have failed in a row it gives up at once, so that throttling becomes failure.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

import structlog
from aiohttp import ClientError as HttpError
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from worker.aws.failures import PASSING, Meaning, meaning_of, reason_of
from worker.errors import Dependency, JobError, JobReason, RetryableError, TerminalError, Unavailable

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

CALL_DEADLINE = 100.0
"""Seconds after which a call counts as lost, all of its tries included; the SDK's own time-outs do not always fire."""

FAILURES = (sdk.ClientError, sdk.BotoCoreError, ResponseParserError, HttpError, OSError)
"""What a call can fail with that comes from AWS or from the way there."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for which a call is tried again after its first failure, by what the failure means.

    It ends before a lease does, so that work which cannot go on is handed back by its owner.
    """

    throttle: float = 60.0
    outage: float = 30.0
    conflict: float = 20.0
    moment: float = 5.0
    """For what is mended by somebody: rights and names take a moment to be known to all of AWS's servers."""
    longest_pause: float = 5.0

    @classmethod
    def within(cls, lease: float) -> "Patience":
        """Return the patience for work under a lease of so many seconds."""
        usual = cls()
        return cls(
            throttle=min(usual.throttle, lease / 2),
            outage=min(usual.outage, lease / 4),
            conflict=min(usual.conflict, lease / 4),
            moment=min(usual.moment, lease / 8),
        )

    @property
    def urgent(self) -> "Patience":
        """The same for calls that go ahead of others, such as those that keep leases: they try again sooner."""
        return replace(self, longest_pause=1.0)

    def seconds(self, meaning: Meaning) -> float:
        """Return for how long a failure of this meaning is waited out."""
        match meaning:
            case Meaning.THROTTLE:
                return self.throttle
            case Meaning.OUTAGE:
                return self.outage
            case Meaning.CONFLICT:
                return self.conflict
        return self.moment if meaning in PASSING else 0.0


USUAL = Patience()
PROBE_DEADLINE = 10.0
"""Seconds for the call with which a dependency is asked whether it answers."""

NONE = Patience(throttle=0.0, outage=0.0, conflict=0.0, moment=0.0)
"""For whoever asks again by himself, or waits at a terminal."""

_PAUSES = {
    Meaning.THROTTLE: 0.1,
    Meaning.CONFLICT: 0.05,
}
_FIRST_PAUSE = 0.2
"""Seconds that the first pause takes at most; each further one twice as many, with full jitter."""


class AwsCall:
    """Makes calls for one purpose; `async with aws_call(...) as call` gives it, and `call(operation, ...)` uses it."""

    def __init__(self, dependency: Dependency, doing: str, patience: Patience) -> None:
        self._dependency = dependency
        self._doing = doing
        self._patience = patience
        self.failure: Exception | None = None
        """What the newest try failed with."""

    async def __call__(self, operation: Callable[P, Awaitable[T]], *args: P.args, **named: P.kwargs) -> T:
        """Call an operation of a client, again and again while its failure may pass and patience lasts."""
        try:
            return await operation(*args, **named)
        except FAILURES as error:
            self.failure = error
            if not self._may_pass(error):
                raise
            return await self._again(error, operation, *args, **named)

    async def _again(
        self, first: Exception, operation: Callable[P, Awaitable[T]], *args: P.args, **named: P.kwargs
    ) -> T:
        """Go on after a first try that failed: what works at once goes without tenacity, which has its price."""
        failed = [first]

        async def one_try() -> T:
            if failed:
                raise failed.pop()
            try:
                return await operation(*args, **named)
            except FAILURES as error:
                self.failure = error
                raise

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_pass),
            wait=self._pause,
            stop=self._is_over,
            before_sleep=self._log,
            reraise=True,
        )
        answer: T = await retrying(one_try)
        return answer

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, FAILURES) and meaning_of_failure(self._dependency, error) in PASSING

    def _pause(self, state: RetryCallState) -> float:
        most = _PAUSES.get(self._meaning(state), _FIRST_PAUSE)
        return wait_random_exponential(multiplier=most, max=self._patience.longest_pause)(state)

    def _is_over(self, state: RetryCallState) -> bool:
        return (state.seconds_since_start or 0.0) >= self._patience.seconds(self._meaning(state))

    def _log(self, state: RetryCallState) -> None:
        tries = state.attempt_number
        if tries >= 4 and tries & (tries - 1) == 0:  # the 4th, 8th, 16th: throttling is told, and does not fill the log
            log.warning("aws.waited_for", doing=self._doing, meaning=self._meaning(state), tries=tries)

    def _meaning(self, state: RetryCallState) -> Meaning:
        error = state.outcome.exception() if state.outcome else None
        return meaning_of_failure(self._dependency, error) if isinstance(error, Exception) else Meaning.UNKNOWN


@asynccontextmanager
async def aws_call(
    dependency: Dependency,
    doing: str,
    *,
    deadline: float = CALL_DEADLINE,
    patience: Patience = USUAL,
    setting: str | None = None,
) -> AsyncIterator[AwsCall]:
    """Put a hard deadline (seconds) around calls, and turn their failures into the worker's own.

    `doing` is the purpose in words, for the error's text. `setting` is the setting that names the bucket, table or
    queue, None where a job names it. A caller who asks a question catches the `ClientError` that answers it, inside.
    Raises `Unavailable` for what may pass, `TerminalError` for what never will, and `RetryableError` for errors of
    unknown meaning.
    """
    call = AwsCall(dependency, doing, patience)
    try:
        async with asyncio.timeout(deadline):
            yield call
    except TimeoutError as error:
        raise _late(call, dependency, doing, deadline, error) from error
    except FAILURES as error:
        raise translated(dependency, doing, error, setting) from error


def _late(call: AwsCall, dependency: Dependency, doing: str, deadline: float, late: Exception) -> JobError:
    if call.failure is not None and meaning_of_failure(dependency, call.failure) in PASSING:
        return translated(dependency, doing, call.failure, None)
    text = f"{doing}: no answer in {deadline:g} s" if not str(late) else f"{doing}: {late}"
    return Unavailable(dependency, JobReason.AWS_UNAVAILABLE, text)


def translated(dependency: Dependency, doing: str, error: Exception, setting: str | None) -> JobError:
    """Return the worker's own error for a failure of a call."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Unavailable(Dependency.DISK, JobReason.DISK_FULL, f"{doing}: {error.strerror}; make room under TMPDIR")
    meaning = meaning_of_failure(dependency, error)
    text = f"{doing}: {str(error) or type(error).__name__}"
    reason = reason_of(meaning, str(error))
    if meaning is Meaning.MISSING and setting is None:
        return TerminalError(JobReason.BUCKET_MISSING, f"{text}; correct the job, or make the bucket")
    if meaning in PASSING:
        return Unavailable(dependency, reason, text + _advice(meaning, setting), setting=setting)
    if meaning in {Meaning.PERMANENT, Meaning.ARCHIVED}:
        return TerminalError(reason, text)
    return RetryableError(reason, text)


def _advice(meaning: Meaning, setting: str | None) -> str:
    match meaning:
        case Meaning.MISSING:
            return f"; make what {setting} names, in this region, or correct {setting}"
        case Meaning.FORBIDDEN:
            return "; grant the right to the task's role"
        case Meaning.CREDENTIALS:
            return "; give the task valid credentials"
        case Meaning.CLOCK_SKEW:
            return "; set this machine's clock right"
    return ""


def meaning_of_failure(dependency: Dependency, error: Exception) -> Meaning:
    """Return what any failure of a call means: AWS's answers by the table, all others by their kind."""
    if isinstance(error, sdk.ClientError):
        told = error.response.get("Error", {})
        reasons = [str(reason.get("Code")) for reason in cancellation_reasons(error)]
        return meaning_of(
            dependency, code_of(error), status_of(error), message=str(told.get("Message", "")), reasons=reasons
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Meaning.UNKNOWN  # our own disk: nothing that another try could mend
    if isinstance(error, _NO_CREDENTIALS):
        return Meaning.CREDENTIALS
    if isinstance(error, _BROKEN):
        return Meaning.OUTAGE
    return Meaning.UNKNOWN


_NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.MetadataRetrievalError,
    sdk.NoAuthTokenError,
    sdk.SSOError,
    sdk.LoginError,
)
_BROKEN = (
    sdk.ConnectionError,
    sdk.HTTPClientError,
    sdk.IncompleteReadError,
    sdk.ChecksumError,
    sdk.FlexibleChecksumError,
    ResponseParserError,
    HttpError,
    OSError,
)


def code_of(error: sdk.ClientError) -> str:
    """Return the error code of an AWS answer, for example `NoSuchKey` or `404`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: sdk.ClientError) -> int:
    """Return the HTTP status of an AWS answer, 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def cancellation_reasons(error: sdk.ClientError) -> list[Any]:
    """Return why a transaction was cancelled, a reason for each of its items; none for other errors."""
    found: Any = error.response.get("CancellationReasons", [])
    return list(found)
