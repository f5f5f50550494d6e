"""`dlq delete`: takes dead letters away for good, after asking."""

from typing import Any

import typer

from worker.cli.access import open_access
from worker.cli.dlq_told import refused, sum_up
from worker.cli.letters import Letter, Wanted, counted, held
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.settings import Settings


async def delete(settings: Settings, wanted: Wanted, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Delete the letters that are wanted; returns the exit code: 1 where there is none, or the answer was no."""
    if refused(wanted):
        return 2
    if not (wanted.causes or wanted.batch or wanted.ids):
        stderr.print("say which: message ids, --cause CODE or --batch BATCH_ID; collage dlq list shows what is there")
        return 2
    async with (
        open_access(settings, Dependency.SQS) as access,
        held(await access.dead_letters(), wanted.limit) as found,
    ):
        letters = [letter for letter in found.letters() if wanted.fits(letter)]
        if not as_json:
            for letter in letters:
                stdout.print(letter.line(), markup=False)
        is_meant = bool(letters) and not dry_run and (yes or _confirmed(letters))
        for letter in letters if is_meant else ():
            await found.delete(letter)
        if as_json:
            print_json({"deleted": is_meant, "messages": [letter.told() for letter in letters]})
        what = "would be deleted" if dry_run else "deleted" if is_meant or not letters else "stay"
        sum_up(counted(letters), what, found, wanted.limit)
    return 0 if is_meant or (dry_run and letters) else 1


def _confirmed(letters: list[Letter]) -> bool:
    """Ask; no answer is a no."""
    question: dict[str, Any] = {"err": True, "default": False}
    try:
        return typer.confirm(f"delete {len(letters)} for good?", **question)
    except typer.Abort:
        stderr.print("\nnothing is deleted; --yes deletes without asking", markup=False)
        return False
