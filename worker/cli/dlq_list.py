"""`dlq list`: what is in the dead-letter queue and why."""

from worker.cli.access import open_access
from worker.cli.dlq_told import sum_up
from worker.cli.letters import counted, held
from worker.cli.terminal import print_json, stdout
from worker.errors import Dependency
from worker.masks import written_out
from worker.settings import Settings


async def list_dead_letters(settings: Settings, *, as_json: bool, limit: int) -> int:
    """Show the messages and their causes; returns the exit code."""
    async with open_access(settings, Dependency.SQS) as access, held(await access.dead_letters(), limit) as found:
        letters = found.letters()
    causes = counted(letters)
    if as_json:
        print_json(
            {
                "by_cause": causes,
                "in_flight_elsewhere": found.elsewhere,
                "messages": [letter.told() for letter in letters],
            }
        )
        return 0
    for letter in letters:
        stdout.print(f"{written_out(letter.failed_at)}  {letter.line()}", markup=False)
        stdout.print(f"    {written_out(letter.text)}", markup=False)
    sum_up(causes, "in the dead-letter queue", found, limit)
    return 0
