"""Run one batch over workers that are killed, frozen, stopped and started at random; then look whether all is right.

`.venv/bin/python scripts/chaos.py --creators 5000 --workers 4 --seconds 300 --seed 1`

AWS is a moto server of its own, or what AWS_ENDPOINT_URL names. The same seed gives the same order of misfortunes; when
they meet the work depends on the machine.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.crash.chaos import Plan, chaos
from tests.integration.emulator import CREDENTIALS, aws_at, emulator


def main() -> int:
    """Do it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--creators", type=int, default=5_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=300.0, help="of trouble; less when the batch ends earlier")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=50, help="creators of a chunk")
    parser.add_argument("--lease", type=float, default=6.0, help="seconds; a frozen worker is frozen for 1.6 of them")
    parser.add_argument("--kills", type=int, default=0, help="kill so many workers and do nothing else; 3 receives")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    plan = Plan(
        options.creators,
        options.workers,
        options.seconds,
        options.seed,
        options.chunk,
        within=3 * options.seconds + 120,
        lease=options.lease,
        kills=options.kills,
    )
    began = time.monotonic()
    with emulator() as endpoint, aws_at(endpoint) as aws:
        told = chaos(aws, plan, (lambda _text: None) if options.quiet else lambda text: print(text, flush=True))
    events = told.events
    print(
        f"\n{plan.creators} creators in chunks of {plan.chunk}, {plan.workers} workers, seed {plan.seed}, leases of "
        f"{plan.lease:g} s\n"
        f"trouble for {told.trouble_seconds:.0f} s: {events['kill']} x SIGKILL, {events['freeze']} x SIGSTOP for "
        f"{plan.frozen:.1f} s, {events['stop']} x SIGTERM; {events['start']} starts\n"
        f"{told.done_in_trouble:.0%} of the creators were done by its end; closed after {told.seconds:.0f} s\n"
        f"the batch's lease was taken over {told.takeovers} times\n"
        f"right: one record, one collage, written once, and one metadata file for each creator; summary, archive, "
        f"counts; nothing left in the queue, nothing in the dead-letter queue\n"
        f"({time.monotonic() - began:.0f} s with the checks)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
