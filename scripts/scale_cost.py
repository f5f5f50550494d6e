"""What a million collages cost, item by item. Prices are inputs (scale_prices.json), and so is everything counted."""

import json
from dataclasses import dataclass
from pathlib import Path

PRICES: dict[str, float] = {
    name: value
    for name, value in json.loads((Path(__file__).parent / "scale_prices.json").read_text()).items()
    if name != "source"
}
MILLION = 1_000_000
GIB = 1 << 30
ALARM_METRICS = 40
"""Metrics that alarms look at, those of target tracking's own two alarms included: each is billed."""


@dataclass(frozen=True)
class Counts:
    """What the worker asks of AWS. Read from its code (worker/aws, worker/jobs), or measured where it says so."""

    covers: int = 35
    cover_bytes: int = 157_000  # 5.5 TB for a million collages
    collage_bytes: int = 722_000  # measured: 1,400 x 1,000 at quality 95
    metadata_bytes: int = 10_600  # measured
    creators_per_chunk: int = 50
    chunk_seconds: float = 100.0  # a task's four chunks at two creators a second
    puts_per_creator: int = 2  # collage, metadata
    # One put of the final record: the table, batch-id-index and status-date-index, which both hold all of it. Items are
    # below 1 KB (some 600 bytes), so each is one unit.
    writes_per_creator: int = 3
    # One that is shown as `processing` before takes 3 more, and the final one then takes 4, because the status is the
    # key of status-date-index: the old entry goes, a new one comes. A worker shows one in 5 s, and does 10 meanwhile.
    writes_of_a_shown_creator: int = 4
    shown_share: float = 0.1
    lease_seconds: float = 40.0  # a chunk's lease is extended this often, and its batch looked at
    taken_over_share: float = 0.01  # of chunks, whose creators' records are read at once; ten times what is simulated
    log_bytes_per_creator: int = 620  # creator.finished with its names
    metric_bytes_per_cover: int = 9  # one more number in a DownloadLatency line
    insights_bytes_per_task_minute: int = (
        3_000  # Container Insights' own log: a line for the task, one for its container
    )
    request_bytes: int = 750  # a GET with a signed link, in TLS and TCP
    acknowledged_share: float = 0.007  # of what comes in goes out as acknowledgements; assumed
    cpu: float = 1.0
    memory_gib: float = 2.0
    busy_metrics: int = 8 + 29  # ours, and Container Insights' for a cluster and a service


def compute(hours: dict[str, float], counts: Counts) -> float:
    """Return the price of task hours, public addresses not included."""
    hour = counts.cpu * PRICES["fargate_vcpu_hour"] + counts.memory_gib * PRICES["fargate_gib_hour"]
    return hour * (hours["on demand"] + hours["spot"] * (1 - PRICES["fargate_spot_discount"]))


def of_a_million(hours: dict[str, float], counts: Counts | None = None) -> dict[str, float]:
    """Return dollars by item; `hours` are the task hours, on demand and on Spot, that a million collages took."""
    counts = counts or Counts()
    chunks = MILLION / counts.creators_per_chunk
    extensions = counts.chunk_seconds / counts.lease_seconds
    # Take; extend; close, in a transaction, which doubles: the chunk's record, and the batch's, which is over 1 KB.
    chunk_writes = chunks * (1 + extensions + 2 * (1 + 2))
    # The batch's record before and after, and with each extension; the chunk's creators where it is taken over.
    chunk_reads = chunks * (2 + extensions + counts.taken_over_share * counts.creators_per_chunk)
    creator_writes = counts.writes_per_creator + counts.shown_share * counts.writes_of_a_shown_creator
    all_hours = sum(hours.values())
    return {
        "Fargate": compute(hours, counts),
        "Public IPv4 addresses": all_hours * PRICES["public_ipv4_hour"],
        "S3 PUT, collages": MILLION * PRICES["s3_thousand_puts"] / 1000,
        "S3 PUT, metadata": MILLION * (counts.puts_per_creator - 1) * PRICES["s3_thousand_puts"] / 1000,
        "S3, chunks and parts": chunks * (2 * PRICES["s3_thousand_puts"] + 2 * PRICES["s3_thousand_gets"]) / 1000,
        "DynamoDB, creators": creator_writes * PRICES["dynamodb_million_writes"],
        "DynamoDB, chunks": chunk_writes / MILLION * PRICES["dynamodb_million_writes"]
        + chunk_reads / MILLION * PRICES["dynamodb_million_reads"],
        "SQS": chunks * (0.1 + 1.2 + counts.chunk_seconds / 40 + 1) / MILLION * PRICES["sqs_million_requests"],
        "KMS, for the table": all_hours * 12 / 10_000 * PRICES["kms_ten_thousand_requests"],
        "Logs and metrics, ingested": (
            MILLION * (counts.log_bytes_per_creator + counts.covers * counts.metric_bytes_per_cover)
            + all_hours * 60 * counts.insights_bytes_per_task_minute
        )
        / GIB
        * PRICES["logs_gib"],
        "Metrics, by the hour": counts.busy_metrics * PRICES["metric_month"] * all_hours / 50 / 730,
        "Egress: requests": MILLION * counts.covers * counts.request_bytes / GIB * PRICES["egress_gib"],
        "Egress: acknowledgements": MILLION
        * counts.covers
        * counts.cover_bytes
        * counts.acknowledged_share
        / GIB
        * PRICES["egress_gib"],
    }


def of_the_lambda(seconds: float = 23.5, megabytes: int = 3008) -> float:
    """Return dollars for a million collages on the Lambda that this replaces: its compute and requests alone."""
    return MILLION * seconds * megabytes / 1024 * PRICES["lambda_gib_second"] + PRICES["lambda_million_requests"]


def through_nat(counts: Counts | None = None) -> float:
    """Return what a NAT gateway would add for a million collages: the bytes, not its hours."""
    counts = counts or Counts()
    return MILLION * counts.covers * counts.cover_bytes / GIB * PRICES["nat_gib"]


def a_month_at_rest() -> dict[str, float]:
    """Return what stands on the bill when nobody drops a manifest."""
    return {
        "The key": PRICES["kms_key_month"],
        "Alarms": ALARM_METRICS * PRICES["alarm_metric_month"],
        "The dashboard (three are free)": 0.0,
    }


def kept_a_month(counts: Counts | None = None) -> float:
    """Return the price of keeping a million collages, with their metadata, for a month."""
    counts = counts or Counts()
    return MILLION * (counts.collage_bytes + counts.metadata_bytes) / GIB * PRICES["s3_gib_month"]
