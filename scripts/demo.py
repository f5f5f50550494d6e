"""The main job on real photographs, with an embedded AWS and no Docker.

Starts moto's server (S3, SQS, DynamoDB), an origin that serves samples/photos, and the worker as users run it; drops
the sample manifest under csv-files/ of the input bucket, and waits for what comes of it. With --shell all of it stays
there for as long as a shell is open, in which the commands know it.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))
from samples.origin import serve  # noqa: E402 - found from the line above

OUTPUT = HERE / "demo-output"
MANIFEST_KEY = "csv-files/covers.csv"
DEADLINE = 120.0
"""Seconds for the whole batch; it takes a few."""


def main(*, shell: bool) -> int:
    """Run the demo, with a shell in it where one is asked for; returns the exit code."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server tells every request
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    with embedded_aws() as environment, origin() as address, worker(environment) as process:
        manifest = (HERE / "samples/covers.csv").read_text(encoding="utf-8").replace("http://origin:8080", address)
        s3 = client("s3", environment)
        print("putting samples/covers.csv under csv-files/ of the input bucket")
        s3.put_object(Bucket="tiktok-image-input", Key=MANIFEST_KEY, Body=manifest.encode())
        wait_until_archived(s3, process)
        keys = fetch_results(s3)
        records = creator_records(environment)
        tell(keys, records)
        if shell:
            return look_around(environment, address)
    print("\nto look at it with the commands, as on AWS\n  make demo-shell")
    return 0


def look_around(environment: dict[str, str], address: str) -> int:
    """Open a shell in which the commands speak to the embedded AWS, until it is left; returns 0."""
    first = "collage status s3_covers"
    print(f"\nthe worker, its AWS and the photos ({address}) stay until you leave this shell: try `{first}`")
    inherited = {name: os.environ[name] for name in ("TERM", "SHELL", "PS1", "COLUMNS") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    known = environment | inherited | {"PATH": path, "COLLAGE_DEMO": "1"}  # so that a prompt can show it
    sys.stdout.flush()
    subprocess.run([known.get("SHELL", "/bin/sh")], env=known, cwd=HERE, check=False)
    return 0


@contextmanager
def embedded_aws() -> Iterator[dict[str, str]]:
    """Start moto and make buckets, queues and table in it; gives the worker's environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environment = inherited | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_REGION": "us-east-1",
        "SQS_QUEUE_URL": f"{endpoint}/123456789012/tiktok-image-processing-queue",
        "SQS_DLQ_URL": f"{endpoint}/123456789012/tiktok-image-processing-dlq",
        "ALLOW_PRIVATE_ADDRESSES": "true",
        "RETRY_BACKOFF_FACTOR": "0.2",
        "WAIT_TIME_SECONDS": "2",
        "HEALTH_PORT": "0",
    }
    try:
        subprocess.run([sys.executable, "-m", "worker", "bootstrap"], env=environment, cwd=HERE, check=True)
        yield environment
    finally:
        server.stop()


@contextmanager
def origin() -> Iterator[str]:
    """Serve the sample photos; gives the address."""
    server = serve("127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def worker(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the worker as the container does, with its logs in demo-output/; stop it as ECS does."""
    command = [sys.executable, "-m", "worker", "run"]
    with (OUTPUT / "worker.log").open("wb") as log, (OUTPUT / "metrics.jsonl").open("wb") as metrics:
        process = subprocess.Popen(command, env=environment, cwd=HERE, stdout=metrics, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()
            process.wait()


def wait_until_archived(s3: Any, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the batch's end: the manifest goes to archived/ when everything else is written."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until and process.poll() is None:
        found = s3.list_objects_v2(Bucket="tiktok-image-input", Prefix="archived/")
        if any(item["Key"] == f"archived/processed/{MANIFEST_KEY}" for item in found.get("Contents", [])):
            return
        time.sleep(0.2)
    sys.exit(f"the batch did not finish; the worker's log is {OUTPUT / 'worker.log'}")


def fetch_results(s3: Any) -> list[str]:
    """Copy what the worker wrote to S3 into demo-output/; returns the keys."""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="tiktok-image-output").get("Contents", [])]
    for key in keys:
        path = OUTPUT / key
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file("tiktok-image-output", key, str(path))
    return keys


def creator_records(environment: dict[str, str]) -> list[dict[str, Any]]:
    """Return the creators' records from DynamoDB, in order of name."""
    table = client("dynamodb", environment, resource=True).Table("tiktok-creator-processing-state")
    records = [item for item in table.scan()["Items"] if "status" in item]
    return sorted(records, key=lambda item: str(item["creator_name"]))


def client(service: str, environment: dict[str, str], *, resource: bool = False) -> Any:
    """Return a boto3 client or resource of the embedded AWS."""
    return getattr(boto3, "resource" if resource else "client")(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="demo",
        aws_secret_access_key="demo",  # noqa: S106 - moto takes any
    )


def tell(keys: list[str], records: list[dict[str, Any]]) -> None:
    """Say what came of it and where it lies."""
    shown = OUTPUT.relative_to(Path.cwd()) if OUTPUT.is_relative_to(Path.cwd()) else OUTPUT
    print("\nrecords in DynamoDB")
    for record in records:
        errors = ", ".join(f"{count} {reason}" for reason, count in sorted(record["errors"].items()))
        print(
            f"  {record['creator_name']:<18} {record['status']:<10} {record['images_processed']:>3} images"
            + (f"   not usable: {errors}" if errors else "")
        )
    print("\ncollages")
    for key in sorted(key for key in keys if key.startswith("collages/")):
        print(f"  {shown / key}")
    for name, suffix in (("summary", ".json"), ("report", ".html")):
        for key in keys:
            if key.startswith("results/processing-summaries/") and key.endswith(suffix):
                print(f"\n{name}\n  {shown / key}")
    print(f"\nthe worker's log and metrics\n  {shown / 'worker.log'}\n  {shown / 'metrics.jsonl'}")


if __name__ == "__main__":
    sys.exit(main(shell=sys.argv[1:] == ["--shell"]))
