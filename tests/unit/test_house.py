"""Rules of the house that no linter knows."""

import ast
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import PIL
import pytest
from PIL import features

from tests.security import mutations as security
from tests.simulation import mutations as simulation
from worker.aws.emf import METRICS
from worker.errors import CreatorReason, ImageReason, JobReason, RejectReason

HOUSE = Path(__file__).parents[2] / "worker"
MODULES = sorted(HOUSE.rglob("*.py"))
MOST_LINES = 400


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in MODULES:
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_pillow_is_the_simd_one() -> None:
    """Both distributions install the same folder, and the one installed last wins without a word."""
    if platform.machine() != "x86_64":
        pytest.skip("Pillow-SIMD is for x86 only")
    assert "post" in PIL.__version__
    assert distribution("pillow-simd").version == PIL.__version__
    with pytest.raises(PackageNotFoundError):
        distribution("pillow")


@pytest.mark.parametrize("codec", ["jpg", "zlib", "webp"])
def test_pillow_has_the_codecs_that_covers_need(codec: str) -> None:
    assert features.check(codec)


def test_the_environment_is_read_by_the_settings_only() -> None:
    readers = set()
    for path, tree in trees():
        for node in ast.walk(tree):
            named = (node.attr if isinstance(node, ast.Attribute) else "") or (
                " ".join(alias.name for alias in node.names) if isinstance(node, ast.ImportFrom) else ""
            )
            if {"environ", "environb", "getenv", "putenv"} & set(named.split()):
                readers.add(str(path.relative_to(HOUSE)))
    assert readers == {"settings.py"}


def test_nothing_waits_in_a_way_that_can_lose_a_cancellation() -> None:
    """`asyncio.wait_for` can, before Python 3.12; `asyncio.timeout` and `asyncio.wait` do not."""
    used = {
        f"{path.relative_to(HOUSE)}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "wait_for")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "wait_for" for alias in node.names))
    }
    assert used == set()


IMPORT_ALL = """
import asyncio, importlib, subprocess, sys, threading

def forbid(event, args):
    if event.startswith("socket.") and event != "socket.__new__" or event in {"subprocess.Popen", "os.fork"}:
        raise SystemExit(f"{event}{args} while importing")

def never(*_args, **_keywords):
    raise SystemExit("a client, a session or a task was made while importing")

import aiobotocore.session, aiohttp, concurrent.futures, boto3.session
aiobotocore.session.AioSession.create_client = never
boto3.session.Session.client = boto3.session.Session.resource = never
aiohttp.ClientSession.__init__ = aiohttp.TCPConnector.__init__ = never
asyncio.create_task = asyncio.ensure_future = asyncio.run = asyncio.new_event_loop = never
concurrent.futures.ThreadPoolExecutor.__init__ = never
sys.addaudithook(forbid)
for name in sys.argv[1:]:
    importlib.import_module(name)
if threading.active_count() != 1:
    raise SystemExit(f"threads were started while importing: {threading.enumerate()}")
"""


def module_names() -> list[str]:
    found = [".".join(path.relative_to(HOUSE.parent).with_suffix("").parts) for path in MODULES]
    return [name.removesuffix(".__init__") for name in found if not name.endswith(".__main__")]


def test_importing_anything_touches_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *module_names()],
        cwd=HOUSE.parent,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def recorded(tree: ast.Module) -> Iterator[str]:
    """Give the names in calls such as `metrics.record("ErrorCount", 1)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if (
                called in {"record", "_metric", "record_metric"}
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value)


def test_every_metric_that_is_recorded_is_declared_and_every_declared_one_recorded() -> None:
    assert {name for _, tree in trees() for name in recorded(tree)} == set(METRICS)


@pytest.mark.parametrize("reasons", [ImageReason, CreatorReason, RejectReason, JobReason])
def test_every_reason_is_used_somewhere(reasons: type[ImageReason]) -> None:
    used = {
        node.attr
        for path, tree in trees()
        if path.name != "reasons.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == reasons.__name__
    }
    assert set(reasons.__members__) - used == set()


def test_no_two_reasons_of_a_record_have_the_same_code() -> None:
    codes = [*ImageReason, *CreatorReason]
    assert len({str(code) for code in codes}) == len(codes)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_module_grows_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


TESTS = HOUSE.parent / "tests"
LISTED = dict(
    re.findall(r"^\| `(worker/[^`]+)` \| (.+) \|$", (TESTS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize(
    "name", [str(path.relative_to(HOUSE.parent)) for path in MODULES if path.name != "__init__.py"]
)
def test_each_module_has_a_test_file_of_its_name_or_a_line_that_says_where_it_is_tested(name: str) -> None:
    of_its_name = list(TESTS.rglob(f"test_{Path(name).stem}.py"))
    assert of_its_name or name in LISTED, (
        f"add a test file, or a line to tests/README.md: | `{name}` | `unit/test_….py` |"
    )


MUTATIONS = security.MUTATIONS | simulation.MUTATIONS


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_rule_that_mutations_take_out_is_where_their_list_says(name: str) -> None:
    file, pattern, *_ = MUTATIONS[name]
    assert re.search(pattern, (HOUSE.parent / file).read_text(encoding="utf-8"))


def test_the_list_of_where_modules_are_tested_names_what_is_there() -> None:
    files = {f"tests/{name}" for told in LISTED.values() for name in re.findall(r"`([^`]+)`", told)}
    assert [name for name in sorted(files | set(LISTED)) if not (HOUSE.parent / name).is_file()] == []
