"""`dlq redrive`: sends dead letters back; of each cause one canary first, then the rest."""

from dataclasses import replace

from worker.aws.sqs import large_file
from worker.cli.access import Access, open_access
from worker.cli.canary import Canary, Verdict, canary_of, watch
from worker.cli.dlq_told import refused, sum_up
from worker.cli.letters import Held, Letter, Wanted, counted, held
from worker.cli.terminal import print_json, stderr, stdout
from worker.errors import Dependency
from worker.settings import Settings


async def redrive(settings: Settings, wanted: Wanted, *, dry_run: bool, canary_wait: float, as_json: bool) -> int:
    """Send the letters that are wanted back; returns the exit code: 1 where a canary failed, or did not end in time.

    Each is sent before it is deleted: should this end in between, there is one too many, which costs nothing. All are
    received before the first is sent, so that one that fails again at once is not sent twice.
    """
    if refused(wanted):
        return 2
    needed = (Dependency.SQS,) if dry_run else (Dependency.SQS, Dependency.DYNAMODB)
    async with open_access(settings, *needed) as access, held(await access.dead_letters(), wanted.limit) as found:
        letters = [letter for letter in found.letters() if wanted.fits(letter)]
        if dry_run:
            sent, verdicts = letters, dict[str, Verdict]()
        else:
            canaries = await _canaries(access, found, letters, canary_wait)
            verdicts = await watch(access, found, canaries, canary_wait)
            sent = [canary.letter for canary in canaries]
            for letter in letters:
                if letter in sent or verdicts.get(letter.cause, Verdict.DONE) is not Verdict.DONE:
                    continue
                if await _send_back(access, found, letter):
                    sent.append(letter)
        _tell(sent, letters, verdicts, dry_run=dry_run, as_json=as_json)
        sum_up(counted(sent), "would be sent back" if dry_run else "sent back", found, wanted.limit)
        stay = counted(letter for letter in letters if letter not in sent)
        if stay:
            told = ", ".join(f"{count} {cause}" for cause, count in stay.items())
            stderr.print(f"{sum(stay.values())} stay in the dead-letter queue: {told}", markup=False)
    return 1 if any(verdict is not Verdict.DONE for verdict in verdicts.values()) else 0


async def _canaries(access: Access, found: Held, letters: list[Letter], seconds: float) -> list[Canary]:
    """Send the first letter of each cause that has more than one; none where no canary is asked for."""
    causes = counted(letters) if seconds else {}
    canaries = []
    for cause in (cause for cause, count in causes.items() if count > 1):
        letter = next(letter for letter in letters if letter.cause == cause)
        stderr.print(f"canary of {cause}: {letter.id} is sent; at most {seconds:g} s until its end", markup=False)
        canary = await canary_of(access, letter)
        if await _send_back(access, found, letter):
            canaries.append(canary)
    return canaries


async def _send_back(access: Access, found: Held, letter: Letter) -> bool:
    """Send a letter's message back and take the letter away; False where the message's own body is gone."""
    message = letter.message
    if (address := large_file(message.body)) is not None:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        body = await access.s3.get(bucket, key)
        if body is None:
            stderr.print(f"{letter.id} stays: its body, {address}, is gone; send the job anew", markup=False)
            return False
        message = replace(message, body=body.decode("utf-8", "surrogatepass"))
    await access.queue.send_copy(message, delay=0)
    await found.delete(letter)
    return True


def _tell(
    sent: list[Letter], letters: list[Letter], verdicts: dict[str, Verdict], *, dry_run: bool, as_json: bool
) -> None:
    if as_json:
        stay = [letter.told() for letter in letters if letter not in sent]
        told = [letter.told() for letter in sent]
        print_json({"dry_run": dry_run, "sent": told, "stay": stay, "canaries": verdicts})
        return
    for letter in sent:
        stdout.print(letter.line(), markup=False)
