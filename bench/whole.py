"""The whole worker, from the message to S3, beside what else there is; CPU time of all its processes."""

import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from bench import environments
from bench.photos import CACHE, HERE, tiny

ROOT = Path(os.environ.get("BENCH_ROOT", HERE.parent))
"""Where the worker is taken from: another checkout, to compare two of them."""

INPUT = "tiktok-image-input"
PER_CREATOR = 35
JOBS = 4
TICK = os.sysconf("SC_CLK_TCK")
DEADLINE = 180.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to: CPU and wall seconds for so many images, and the peak of memory in MB where it was seen."""

    images: int
    cpu: float
    wall: float
    peak: float = 0.0

    @property
    def each(self) -> float:
        """CPU milliseconds for each image."""
        return self.cpu / self.images * 1000


@dataclass(slots=True)
class Series:
    """One contender's runs by latency."""

    title: str
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def median(self, latency: str, value: Callable[[Run], float] = lambda run: run.each) -> float:
        """Return the median over the runs."""
        return statistics.median(value(run) for run in self.runs[latency])


# --- what is needed around it -----------------------------------------------------------------------------------------


@contextmanager
def origin(
    mean: float = 0, spread: float = 0, folder: Path | None = None, *, cores: int | None = None
) -> Iterator[str]:
    """Serve the photographs, on some cores only if asked for; gives the address."""
    command = [
        *_on(cores),
        sys.executable,
        str(HERE / "origin.py"),
        str(folder or CACHE / "photos" / "jpeg"),
        str(mean),
        str(spread),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def emulator(*, fronted: bool = False) -> Iterator[dict[str, str]]:
    """Start moto in a process of its own, with buckets, queues and table; gives the worker's environment.

    A front confirms creators' results in its place, if asked for: see `front.py`.
    """
    port = _free_port()
    beside = environments.beside()
    if beside is None:
        raise RuntimeError("waitress could not be installed, which serves moto with connections that are kept")
    command = [sys.executable, "-P", str(HERE / "emulator.py"), str(port)]
    theirs = environments.plain() | {"PYTHONPATH": str(beside)}
    moto = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=theirs)
    try:
        _wait_for(lambda: _answers(port), "moto")
        with front(port) if fronted else contextlib.nullcontext(port) as answering:
            environment = _environment(f"http://127.0.0.1:{answering}")
            command = [sys.executable, "-m", "worker", "bootstrap"]
            subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
            yield environment
    finally:
        moto.kill()
        moto.wait()


@contextmanager
def front(upstream: int = 0, certificate: Path | None = None) -> Iterator[int]:
    """Start `front.py`, over https where there is a certificate; gives its port."""
    port = _free_port()
    command = [sys.executable, str(HERE / "front.py"), str(port), str(upstream)]
    process = subprocess.Popen([*command, str(certificate)] if certificate else command)
    try:
        _wait_for(lambda: _answers(port), "the front")
        yield port
    finally:
        process.kill()
        process.wait()


def _environment(endpoint: str) -> dict[str, str]:
    return environments.plain() | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "SQS_QUEUE_URL": f"{endpoint}/123456789012/tiktok-image-processing-queue",
        "SQS_DLQ_URL": f"{endpoint}/123456789012/tiktok-image-processing-dlq",
        "ALLOW_PRIVATE_ADDRESSES": "true",
        "HEALTH_PORT": "0",
        "LOG_FORMAT": "json",
    }


def client(service: str, environment: dict[str, str]) -> Any:
    """Return a client for the emulator."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )


def put_manifest(environment: dict[str, str], key: str, text: str) -> None:
    """Put a manifest into the input bucket."""
    client("s3", environment).put_object(Bucket=INPUT, Key=key, Body=text.encode())


def send_job(environment: dict[str, str], key: str, **config: int) -> None:
    """Send a job for a manifest of the input bucket."""
    job = {"processing_type": "csv_s3", "s3_bucket": INPUT, "s3_key": key, "processing_config": config}
    client("sqs", environment).send_message(QueueUrl=environment["SQS_QUEUE_URL"], MessageBody=json.dumps(job))


class Worker:
    """The worker as users run it, started; its log, its processes' CPU and memory."""

    def __init__(self, environment: dict[str, str], folder: Path, *, probed: bool = False) -> None:
        self._log = folder / "worker.log"
        self.lags = folder / "lags.json"
        if probed:  # it wakes the loop 200 times a second, so that what is measured by CPU goes without
            environment = environment | {"BENCH_LAG": str(self.lags), "PYTHONPATH": str(HERE / "probe")}
        command = [sys.executable, "-m", "worker", "run"]
        self.began = time.monotonic()
        with self._log.open("wb") as log, (folder / "metrics").open("wb") as metrics:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=ROOT,
                stdout=metrics,
                stderr=log,
            )
        _wait_for(lambda: "worker.started" in self._log.read_text(), "the worker", step=0.01)
        self.started_after = time.monotonic() - self.began
        self.started_cpu = self.cpu()

    def finished(self) -> int:
        """Return how many creators are done."""
        return self._log.read_text().count("creator.finished")

    def cpu(self) -> float:
        """Return the CPU seconds of its processes, the ended ones among them included."""
        return sum(_cpu(pid, children=pid == self.process.pid) for pid in self._tree())

    def shares(self) -> tuple[float, float]:
        """Return the CPU seconds of the worker's own process and those of its decoders."""
        own, *decoders = self._tree()
        return _cpu(own, children=False), sum(_cpu(pid, children=False) for pid in decoders)

    def memory(self) -> float:
        """Return the memory its processes have for themselves and their part of what they share, in MB."""
        return sum(_proportional(pid) for pid in self._tree())

    def peak(self) -> float:
        """Return the most memory that its own process has had so far, in MB."""
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def end(self) -> None:
        """Stop it as ECS does."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)
        self.process.kill()
        self.process.wait()

    def _tree(self) -> list[int]:
        return [self.process.pid, *_descendants(self.process.pid)]


# --- the contenders ---------------------------------------------------------------------------------------------------


def ours(address: str, images: int, *, probed: bool = False) -> tuple[Run, list[float]]:
    """From the manifest in S3 to collages in S3: four jobs at a time with default settings, against moto.

    Returns the lags of the event loop as well, in seconds and in order, where they are asked for.
    """
    with emulator() as environment, tempfile.TemporaryDirectory() as folder:
        creators = images // PER_CREATOR
        keys = put_manifests(environment, address, creators)
        environment |= {"WAIT_TIME_SECONDS": "2"}
        worker = Worker(environment, Path(folder), probed=probed)
        try:
            run = watched(worker, environment, keys, creators)
        finally:
            worker.end()
        return run, sorted(json.loads(worker.lags.read_text())) if probed else []


def put_manifests(environment: dict[str, str], address: str, creators: int) -> list[str]:
    """Put a manifest for each job into the input bucket; returns the keys."""
    keys = [f"manual-uploads/{number}.csv" for number in range(JOBS)]
    for number, key in enumerate(keys):
        some = range(number * creators // JOBS, (number + 1) * creators // JOBS)
        put_manifest(environment, key, manifest(address, some))
    return keys


def watched(worker: Worker, environment: dict[str, str], keys: list[str], creators: int) -> Run:
    """Send a job for each manifest, and watch the worker until all creators are done."""
    before, began, peak = worker.cpu(), time.monotonic(), 0.0
    for key in keys:
        send_job(environment, key)
    while worker.finished() < creators:
        if time.monotonic() - began > DEADLINE or worker.process.poll() is not None:
            raise RuntimeError(f"the worker did {worker.finished()} of {creators} creators")
        peak = max(peak, worker.memory())
        time.sleep(0.25)  # each look at it takes the cores from what is measured
    wall, cpu = time.monotonic() - began, worker.cpu() - before
    found = client("s3", environment).list_objects_v2(Bucket="tiktok-image-output", Prefix="collages/")
    assert found["KeyCount"] == creators, f"{found['KeyCount']} collages of {creators}"
    return Run(creators * PER_CREATOR, cpu, wall, peak)


def ours_on_this_machine(address: str, images: int, *, cores: int | None = None, per: int = PER_CREATOR) -> Run:
    """`python -m worker process`, without AWS: how far the cores carry when no emulator takes a part of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "covers.csv"
        path.write_text(manifest(address, range(-(-images // per)), per=per, most=images))
        command = [sys.executable, "-m", "worker", "process", str(path), "-o", folder, "--set", "max_workers=64"]
        run = _run([*_on(cores), *command], environments.plain() | {"ALLOW_PRIVATE_ADDRESSES": "true"}, images)
        made = len(list(Path(folder).rglob("collage_*.jpg")))
        assert made == -(-images // per), f"{made} collages"
        return run


def old(address: str, images: int) -> Run:
    """Download with requests in eight threads, decode everything, compose with `optimize=True`; into a folder."""
    python = environments.environment("stock", environments.STOCK)
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), str(HERE / "old_worker.py"), _urls(address, images, folder), folder, "8"]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Run(images, told["cpu"], told["wall"])


def img2dataset(address: str, images: int) -> Run | None:
    """Download and resize with img2dataset, which makes no collages; what its start costs is taken off."""
    python = environments.environment("img2dataset", environments.IMG2DATASET)
    if python is None:
        return None
    started = _img2dataset(python, address, 1)
    run = _img2dataset(python, address, images + 1)
    return Run(images, run.cpu - started.cpu, run.wall - started.wall)


def _img2dataset(python: Path, address: str, images: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import sys; from img2dataset import download; download(url_list=sys.argv[1], output_folder=sys.argv[2],"
            "image_size=200, resize_mode='center_crop', processes_count=2, thread_count=32, output_format='files',"
            "number_sample_per_shard=350, encode_quality=95, compute_hash=None, retries=0, timeout=30)"
        )
        command = [str(python), "-c", code, _urls(address, images, folder), f"{folder}/out"]
        environment = environments.plain() | {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
        run = _run(command, environment, images)
        made = len(list(Path(folder).rglob("*.jpg")))
        assert made == images, f"img2dataset made {made} of {images}"
        return run


def floor(address: str, images: int) -> Run:
    """Fetch and drop with aiohttp, and compose in C, one after the other: what the hardware allows."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "fetch_only.py"), _urls(address, images, folder)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    photos = sorted((CACHE / "photos" / "jpeg").iterdir())
    composed = [_run([str(environments.floor()), "whole", *map(str, photos)], {}, len(photos)) for _ in range(5)]
    cpu = statistics.median(run.cpu for run in composed) * images / len(photos)
    return Run(images, told["cpu"] + cpu, told["wall"] + cpu / 2)


# --- single figures ---------------------------------------------------------------------------------------------------


def creator_overhead() -> tuple[Run, float]:
    """Return a run of creators with one tiny image each, and what a creator costs without it, in CPU milliseconds.

    What an image of that size costs is what five of them cost more than one, by four.
    """
    one, five = (_creators_of(images) for images in (1, 5))
    return one, one.each - (five.each - one.each) / 4


def _creators_of(images: int) -> Run:
    """Do creators with so many tiny images each; the run counts creators."""
    with (
        origin(folder=tiny()) as address,
        emulator(fronted=True) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        creators, key = 1_000, "manual-uploads/many.csv"
        put_manifest(environment, key, manifest(address, range(creators), per=images))
        worker = Worker(environment | {"WAIT_TIME_SECONDS": "2"}, Path(folder))
        try:
            send_job(environment, key, cols=images, rows=1)
            _wait_for(lambda: worker.finished() >= 40, "the first creators")
            before, first, began = worker.cpu(), worker.finished(), time.monotonic()
            _wait_for(lambda: worker.finished() >= creators, "the last creators", seconds=DEADLINE)
            return Run(worker.finished() - first, worker.cpu() - before, time.monotonic() - began)
        finally:
            worker.end()


def idle(seconds: float) -> dict[str, float]:
    """Return what an idle worker costs, how long it took to its first receive, and its memory."""
    with emulator() as environment, tempfile.TemporaryDirectory() as folder:
        worker = Worker(environment, Path(folder))
        try:
            time.sleep(2)
            before, began = worker.cpu(), time.monotonic()
            time.sleep(seconds)
            share = (worker.cpu() - before) / (time.monotonic() - began)
            return {
                "started_after": worker.started_after,
                "started_cpu": worker.started_cpu,
                "idle_share": share,
                "memory": worker.memory(),
            }
        finally:
            worker.end()


def old_figures() -> dict[int, float]:
    """Return the wall seconds for 10, 50 and 100 images at an origin of 80 ± 40 ms, the start included."""
    with origin(80, 40) as address:
        return {images: _figure(address, images) for images in (10, 50, 100)}


def _figure(address: str, images: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "covers.csv"
        creators = -(-images // PER_CREATOR)
        path.write_text(manifest(address, range(creators), per=-(-images // creators), most=images))
        command = [sys.executable, "-m", "worker", "process", str(path), "-o", folder]
        return _run(command, environments.plain() | {"ALLOW_PRIVATE_ADDRESSES": "true"}, images).wall


# --- small things -----------------------------------------------------------------------------------------------------


def manifest(
    address: str | Callable[[int], str], creators: range, *, per: int = PER_CREATOR, most: int | None = None
) -> str:
    """Return a manifest of so many covers for each creator, each under an address of its own.

    The origin's address may depend on the creator's number.
    """
    at = address if callable(address) else lambda _: address
    lines = [
        f"creator{creator:05},{at(creator)}/{image:02}.jpg?x-expires=4102444800&x-signature={creator}-{image}"
        for creator in creators
        for image in range(per)
    ]
    return "\n".join(["creator_name,cover_url", *lines[:most]]) + "\n"


def _urls(address: str, images: int, folder: str) -> str:
    path = Path(folder) / "urls.txt"
    path.write_text("".join(f"{address}/{i % PER_CREATOR:02}.jpg?{i}\n" for i in range(images)))
    return str(path)


def _run(command: list[str], environment: dict[str, str], images: int) -> Run:
    """Run a command to its end, and count its CPU seconds and those of all processes it waited for."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0 and "floor" not in command[0]:
            output.seek(0)
            raise RuntimeError(f"{command[:4]} ended with {process.returncode}: {output.read()[-2000:].decode()}")
    return Run(images, usage.ru_utime + usage.ru_stime, wall)


def _cpu(pid: int, *, children: bool) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11 : 15 if children else 13]) / TICK


def _proportional(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    with contextlib.suppress(OSError):  # a decoder's own maps are closed to others
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    return 0.0


def _descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _on(cores: int | None) -> list[str]:
    """Return what a command begins with that may use so many cores only."""
    if cores is None:
        return []
    return ["taskset", "-c", ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:cores])]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait_for(happened: Callable[[], bool], what: str, *, seconds: float = 180, step: float = 0.05) -> None:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} did not come")
        time.sleep(step)
