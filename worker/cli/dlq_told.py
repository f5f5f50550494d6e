"""What the commands about dead letters tell in the same words."""

from collections.abc import Mapping

from worker.cli.letters import CAUSES, HELD_SECONDS, Held, Wanted
from worker.cli.pace import time_told
from worker.cli.terminal import stderr


def refused(wanted: Wanted) -> bool:
    """Say whether a cause is named that there is not, which is told."""
    if unknown := wanted.unknown_causes:
        stderr.print(f"unknown cause {', '.join(unknown)}; there are {', '.join(sorted(CAUSES))}", markup=False)
    return bool(wanted.unknown_causes)


def sum_up(causes: Mapping[str, int], what: str, found: Held, limit: int) -> None:
    """Tell how many there are by cause, how many others look at, and whether there may be more."""
    total = sum(causes.values())
    by_cause = ", ".join(f"{count} {cause}" for cause, count in causes.items())
    stderr.print(f"{total} {what}{': ' if total else ''}{by_cause}", markup=False)
    if found.elsewhere:
        stderr.print(
            f"{found.elsewhere} more in flight elsewhere: another command looks at them, or one that was killed "
            f"did; they are seen again within {time_told(HELD_SECONDS)}",
            markup=False,
        )
    if len(found.messages) >= limit:
        stderr.print(f"there may be more than these {limit}: --limit looks at more", markup=False)
