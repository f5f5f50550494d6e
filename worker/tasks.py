"""What a group of asyncio tasks comes to when one of them fails."""

from collections.abc import Iterator
from contextlib import contextmanager


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the failure that ended a task group; the others are its siblings' cancelled ends."""
    first = failures.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the first failure of the task group in the body as itself, not as a group."""
    try:
        yield
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
