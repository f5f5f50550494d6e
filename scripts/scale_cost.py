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
ALARM_METRICS = 41
"""Metrics that alarms look at, those of target tracking's own two alarms included: each is billed."""


@dataclass(frozen=True)
class Counts:
    """What the worker asks of AWS. `SOURCES` says of each number where it is from."""

    covers: int = 35
    cover_bytes: int = 157_000
    collage_bytes: int = 722_000
    part_bytes_per_creator: int = 4_700
    creators_per_chunk: int = 50
    chunk_seconds: float = 100.0
    part_creators: int = 16
    writes_per_creator: int = 3
    writes_of_a_shown_creator: int = 4
    shown_share: float = 0.1
    lease_seconds: float = 40.0
    taken_over_share: float = 0.01
    log_bytes_per_creator: int = 620
    metric_bytes_per_cover: int = 9
    retried_share: float = 0.02
    log_bytes_per_retry: int = 350
    insights_bytes_per_task_minute: int = 3_000
    request_bytes: int = 750
    acknowledged_share: float = 0.007
    acknowledged_share_low: float = 0.003
    acknowledged_share_high: float = 0.02
    item_bytes: int = 600
    indexes: int = 2
    record_days: int = 30
    cpu: float = 1.0
    memory_gib: float = 2.0
    own_metrics: int = 12
    insights_metrics: int = 29


SOURCES: dict[str, str] = {
    "covers": "the contract: 5 rows by 7 columns",
    "cover_bytes": "measured: the mean of 60 creators' JPEGs; 5.5 TB for a million collages",
    "collage_bytes": "measured: 1,400 x 1,000 at quality 95",
    "part_bytes_per_creator": "measured: 35 rows with links of 150 letters, gzipped",
    "creators_per_chunk": "CHUNK_CREATORS",
    "chunk_seconds": "reckoned: a task's four chunks at two creators a second",
    "part_creators": "worker/model.py: PART_CREATORS; each part is one PUT, four for a chunk of 50",
    "writes_per_creator": "read from worker/aws: one put, which is one unit in the table and in each of two indexes",
    "writes_of_a_shown_creator": "DynamoDB's documentation: where the status changes, its index takes one more",
    "shown_share": "read from worker/jobs: one in 5 s, and a worker does 10 meanwhile",
    "lease_seconds": "read from worker/jobs: a chunk's lease is extended this often",
    "taken_over_share": "assumed: ten times what is simulated",
    "log_bytes_per_creator": "reckoned: the line creator.finished with its names",
    "metric_bytes_per_cover": "reckoned: one more number in a DownloadLatency line",
    "retried_share": "assumed: of covers, downloads that are tried again, each with a line",
    "log_bytes_per_retry": "assumed: the line image.fetch_retried",
    "insights_bytes_per_task_minute": "assumed: Container Insights' log, a line for the task and one for its container",
    "request_bytes": "reckoned: a GET with a signed link, in TLS and TCP",
    "acknowledged_share": "assumed: of what comes in goes out as acknowledgements",
    "acknowledged_share_low": "assumed: with large segments, an acknowledgement for many of them",
    "acknowledged_share_high": "assumed: an acknowledgement of 66 bytes for every second segment of 1,448 bytes",
    "item_bytes": "reckoned: a creator's item, some 550 to 600 bytes",
    "indexes": "the contract: both hold all of an item",
    "record_days": "STATE_TTL_DAYS",
    "cpu": "the variable cpu",
    "memory_gib": "the variable memory",
    "own_metrics": "worker/aws/emf.py: each is a custom metric, billed by the hour in which it is sent",
    "insights_metrics": "AWS's documentation: Container Insights' for a cluster and a service",
}


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
        "S3 PUT, parts": chunks
        * -(-counts.creators_per_chunk // counts.part_creators)
        * PRICES["s3_thousand_puts"]
        / 1000,
        "S3, chunks and their results": chunks
        * (2 * PRICES["s3_thousand_puts"] + 2 * PRICES["s3_thousand_gets"])
        / 1000,
        "DynamoDB, creators": creator_writes * PRICES["dynamodb_million_writes"],
        "DynamoDB, chunks": chunk_writes / MILLION * PRICES["dynamodb_million_writes"]
        + chunk_reads / MILLION * PRICES["dynamodb_million_reads"],
        "SQS": chunks * (0.1 + 1.2 + counts.chunk_seconds / 40 + 1) / MILLION * PRICES["sqs_million_requests"],
        "KMS, for the table": all_hours * 12 / 10_000 * PRICES["kms_ten_thousand_requests"],
        "Logs and metrics, ingested": (
            MILLION * (counts.log_bytes_per_creator + counts.covers * counts.metric_bytes_per_cover)
            + MILLION * counts.covers * counts.retried_share * counts.log_bytes_per_retry
            + all_hours * 60 * counts.insights_bytes_per_task_minute
        )
        / GIB
        * PRICES["logs_gib"],
        "Metrics, by the hour": (counts.own_metrics + counts.insights_metrics)
        * PRICES["metric_month"]
        * all_hours
        / 50
        / 730,
        "Egress: requests": MILLION * counts.covers * counts.request_bytes / GIB * PRICES["egress_gib"],
        "Egress: acknowledgements": acknowledgements(counts, counts.acknowledged_share),
    }


def acknowledgements(counts: Counts, share: float) -> float:
    """Return dollars for what TCP says back while a million collages' covers come in."""
    return MILLION * counts.covers * counts.cover_bytes * share / GIB * PRICES["egress_gib"]


def custom_metrics_a_month(counts: Counts | None = None) -> float:
    """Return dollars for the worker's own metrics and Container Insights' in a month in which a task always runs."""
    counts = counts or Counts()
    return (counts.own_metrics + counts.insights_metrics) * PRICES["metric_month"]


def across_zones(counts: Counts | None = None, zones: int = 3) -> float:
    """Return what a million collages' bytes cost on their way to the one NAT gateway from tasks in other zones."""
    counts = counts or Counts()
    return MILLION * counts.covers * counts.cover_bytes / GIB * (zones - 1) / zones * PRICES["zone_gib"]


def records_kept(counts: Counts | None = None) -> float:
    """Return dollars for a month of a million creators' items, in the table and its indexes."""
    counts = counts or Counts()
    held = MILLION * counts.item_bytes * (1 + counts.indexes) / GIB * PRICES["dynamodb_gib_month"]
    return held * min(1.0, counts.record_days / 30)


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
    """Return the price of keeping a million collages, with their rows, for a month."""
    counts = counts or Counts()
    return MILLION * (counts.collage_bytes + counts.part_bytes_per_creator) / GIB * PRICES["s3_gib_month"]
