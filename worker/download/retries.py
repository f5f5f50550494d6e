"""When a download is tried again, and how long it waits for that."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from worker.download.policy import FetchPolicy
from worker.download.urls import ImageUrl, redacted
from worker.errors import ImageError

_Result = TypeVar("_Result")

_log = structlog.get_logger()


async def tried_again(
    failure: ImageError,
    next_try: Callable[[], Awaitable[_Result]],
    *,
    url: ImageUrl,
    max_retries: int,
    policy: FetchPolicy,
) -> tuple[_Result, int]:
    """Go on after a first try that ended with `failure`: return what a further try gave, and the number of all tries.

    Raises the ImageError of the last try: one that is not transient, or that of try number `max_retries` + 1. What
    works at once does not come here, as tenacity costs 0.1 ms a call.
    """
    before: list[ImageError] = [failure]

    async def a_try() -> _Result:
        if before:
            raise before.pop()
        return await next_try()

    retrying = AsyncRetrying(
        stop=stop_after_attempt(max_retries + 1),
        wait=lambda state: _delay_seconds(state, policy),
        retry=retry_if_exception(_is_transient),
        before_sleep=lambda state: _log_retry(state, url),
        reraise=True,
    )
    result: _Result = await retrying(a_try)
    return result, retrying.statistics["attempt_number"]


def _delay_seconds(state: RetryCallState, policy: FetchPolicy) -> float:
    """Return how long to wait: full jitter, at least what the server asked for, at most `max_delay`."""
    jitter = wait_random_exponential(multiplier=policy.backoff_factor, max=policy.max_delay)(state)
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ImageError) else None
    return min(max(jitter, asked or 0.0), policy.max_delay)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, ImageError) and error.transient


def _log_retry(state: RetryCallState, url: ImageUrl) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.info(
        "image.fetch_retried",
        reason=error.reason.value if isinstance(error, ImageError) else None,
        attempt=state.attempt_number,
        delay=state.next_action.sleep if state.next_action else None,
        url=redacted(url.text),
    )
