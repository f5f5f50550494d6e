"""The crash matrix: at every failpoint the worker is killed, and others finish what it began.

`python -m tests.crash.matrix` runs all of it and writes its table into `docs/crash-matrix.md`.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from botocore.exceptions import ClientError

from tests.crash.scenarios import SCENARIOS, VISIBILITY, Asked, Scenario, versions_kept
from tests.integration.emulator import CREDENTIALS, Aws, aws_at, emulator
from tests.integration.pictures import Origin, origin_server
from tests.integration.places import Place, make_place
from tests.integration.processes import Worker
from tests.integration.waiting import until

LANES = 3
"""Cases at a time: most of a case is waiting for a lease to run out."""

LOOK_EVERY = 0.2
"""Seconds between looks, each of which costs the emulator something."""

WITHIN = 150.0
"""Seconds that a case may take, on a machine that does other things as well."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "crash-matrix.md"


@dataclass(frozen=True, slots=True)
class Case:
    """One crash: on which way, at which step, and at which pass of it."""

    scenario: str
    point: str
    turn: int

    def __str__(self) -> str:
        return f"{self.scenario.replace(' ', '-')}-{self.point}-{self.turn}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How often a worker was killed, how many there were in the end, and how long it all took."""

    kills: int
    workers: int
    seconds: float


CASES = [Case(name, point, turn) for name, way in SCENARIOS.items() for point in way.points for turn in (1, 2)]
QUICK = [case for case in CASES if SCENARIOS[case.scenario].quick and case.turn == 1]


class Matrix:
    """Runs cases, some at a time. Whoever asks for a result waits for it."""

    def __init__(self, aws: Aws, origin: Origin, *, lanes: int = LANES) -> None:
        self._aws = aws
        self._origin = origin
        self._lanes = ThreadPoolExecutor(lanes, "lane")
        self._passes: dict[str, Future[Counter[str]]] = {}
        self._verdicts: dict[Case, Future[Verdict]] = {}

    def begin(self, cases: Iterable[Case]) -> None:
        """Queue these cases, and before them one undisturbed run of each way whose passes have to be counted."""
        cases = list(cases)
        for name in dict.fromkeys(case.scenario for case in cases if case.turn > 1):
            self._passes[name] = self._lanes.submit(self._count_passes, SCENARIOS[name])
        for case in cases:
            self._verdicts[case] = self._lanes.submit(self._run, case)

    def passes(self, name: str) -> Counter[str]:
        """Return how often each failpoint is passed on a way that nobody disturbs."""
        if name not in self._passes:  # asked for by itself, without a case that needed it
            self._passes[name] = self._lanes.submit(self._count_passes, SCENARIOS[name])
        return self._passes[name].result()

    def verdict(self, case: Case) -> Verdict:
        """Wait for a case, and return or raise what came of it."""
        return self._verdicts[case].result()

    def end(self) -> None:
        """Forget what was not begun, and wait for the rest."""
        self._lanes.shutdown(cancel_futures=True)

    def _count_passes(self, way: Scenario) -> Counter[str]:
        place, asked = self._asked(way)
        for _ in range(way.killers):
            assert _killed(way, place, asked, way.armed, first=False), f"{way.armed} was not reached"
        with Worker(_env(place, way, "*=trace"), check=False) as worker:
            if way.later:
                way.later(place, asked)
            until(partial(_holds, way, place, asked), f"{way.name}, undisturbed", within=WITHIN, every=LOOK_EVERY)
            worker.stop()
            return Counter(line["name"] for line in worker.logged("failpoint.reached", action="trace"))

    def _run(self, case: Case) -> Verdict:
        way, began = SCENARIOS[case.scenario], time.monotonic()
        twice = case.turn > 1 and self.passes(way.name)[case.point] < case.turn
        aim = f"{case.point}=kill@{1 if twice else case.turn}"
        place, asked = self._asked(way)
        for _ in range(way.killers):
            assert _killed(way, place, asked, way.armed, first=False), f"{way.armed} was not reached"
        kills = workers = 0
        for _ in range(2 if twice else 1):
            workers += 1
            if not _killed(way, place, asked, aim, first=workers == 1):
                break
            kills += 1
            if place.waiting() == 0:
                break
        if place.waiting():
            workers += 1
            with Worker(_env(place, way, ""), check=False) as worker:
                until(lambda: place.waiting() == 0, f"an empty queue after {case}", within=WITHIN, every=LOOK_EVERY)
                worker.kill()
        way.check(place, asked)
        assert kills or case.turn > 1, f"{case.point} was not reached"
        return Verdict(kills, workers, time.monotonic() - began)

    def _asked(self, way: Scenario) -> tuple[Place, Asked]:
        place = make_place(self._aws)
        versions_kept(place)
        return place, way.ask(place, self._origin)


def _killed(way: Scenario, place: Place, asked: Asked, aim: str, *, first: bool) -> bool:
    """Run an armed worker until it is dead (True), or has nothing left to do (False)."""
    with Worker(_env(place, way, aim), check=False) as worker:
        if first and way.later:
            way.later(place, asked)
        until(
            lambda: not worker.is_running or _holds(way, place, asked),
            f"a crash by {aim}",
            within=WITHIN,
            every=LOOK_EVERY,
        )
        with suppress(subprocess.TimeoutExpired):  # the step may be the very last
            assert worker.exit_code(within=1) == -signal.SIGKILL, worker.stderr[-3_000:]
            return True
        worker.kill()
        return False


def _env(place: Place, way: Scenario, aim: str) -> dict[str, str]:
    armed = ",".join(part for part in (way.armed if aim and not way.killers else "", aim) if part)
    common = {"VISIBILITY_TIMEOUT": VISIBILITY, "DECODE_PROCESSES": 1, "FAILPOINTS": armed}
    return place.env(**{**common, **way.env})


def _holds(way: Scenario, place: Place, asked: Asked) -> bool:
    """Say whether all is as it has to be in the end."""
    if place.waiting():
        return False
    try:
        way.check(place, asked)
    except (AssertionError, ClientError, LookupError, ValueError):
        return False
    return True


# --- the page -------------------------------------------------------------------------------------------------------


def table(verdicts: Mapping[Case, Verdict | str]) -> str:
    """Return the page's table: a line for each step, a column for each pass."""
    lines = []
    for name, way in SCENARIOS.items():
        lines += [
            f"### {name[0].upper()}{name[1:]}: {way.told}",
            "",
            "| step | first pass | second pass |",
            "|---|---|---|",
        ]
        for point in way.points:
            cells = [_cell(verdicts.get(Case(name, point, turn), "not run")) for turn in (1, 2)]
            lines.append(f"| `{point}` | {cells[0]} | {cells[1]} |")
        lines.append("")
    return "\n".join(lines)


def _cell(verdict: Verdict | str) -> str:
    if isinstance(verdict, str):
        return f"**{verdict}**"
    if not verdict.kills:
        return "right; not passed again"
    if verdict.kills == verdict.workers:
        return "right; nothing was left to do"
    return f"right after {verdict.kills} {'kill' if verdict.kills == 1 else 'kills'}"


def write_page(verdicts: Mapping[Case, Verdict | str], seconds: float) -> None:
    """Put the table between the page's marks."""
    wrong = sum(isinstance(each, str) for each in verdicts.values())
    kills = sum(each.kills for each in verdicts.values() if isinstance(each, Verdict))
    top = f"{len(verdicts)} cases, {kills} kills, {wrong} wrong; {seconds:.0f} s.\n\n"
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- matrix -->\n", "<!-- /matrix -->"
    before, _, rest = text.partition(begin)
    PAGE.write_text(before + begin + top + table(verdicts) + end + rest.partition(end)[2], encoding="utf-8")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run every case; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a regular expression that is searched in the cases' names")
    parser.add_argument("--lanes", type=int, default=LANES)
    parser.add_argument("--no-page", action="store_true", help="leave the page as it is")
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    cases = [case for case in CASES if re.search(options.only, str(case))]
    verdicts: dict[Case, Verdict | str] = {}
    began = time.monotonic()
    with emulator() as endpoint, aws_at(endpoint) as aws, origin_server() as origin:
        matrix = Matrix(aws, origin, lanes=options.lanes)
        matrix.begin(cases)
        for case in cases:
            try:
                verdicts[case] = found = matrix.verdict(case)
                _say(f"{case}: {_cell(found)} ({found.seconds:.1f} s)")
            except (AssertionError, ClientError, LookupError, ValueError) as error:
                verdicts[case] = "WRONG"
                _say(f"{case}: WRONG\n{error}")
        matrix.end()
    if not options.no_page:
        write_page(verdicts, time.monotonic() - began)
    _say(f"{len(cases)} cases in {time.monotonic() - began:.0f} s")
    return int("WRONG" in verdicts.values())


if __name__ == "__main__":
    sys.exit(main())
