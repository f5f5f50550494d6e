"""CloudWatch metrics in Embedded Metric Format: JSON lines on stdout, no API call.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TextIO

DECLARED = {
    "ProcessingDuration": ("Seconds", "How long one creator took."),
    "ImagesProcessed": ("Count", "Images that are in collages."),
    "ErrorCount": ("Count", "Images that could not be used."),
    "CollagesWritten": ("Count", "Collages put into S3."),
    "BytesDownloaded": ("Bytes", "Bodies of the images that came."),
    "DownloadLatency": ("Seconds", "How long the download of one image took."),
    "QueueDelay": ("Seconds", "How long a message waited before a worker began on it."),
    "MemoryUtilization": ("Percent", "Memory in use, of the container's limit; told every half minute."),
    "DependencyDown": ("Count", "How many of S3, SQS, DynamoDB and the disk refuse this worker."),
    "SandboxSeccomp": ("None", "1 where seccomp confines the decoders, else 0."),
    "SandboxNamespaces": ("None", "1 where namespaces confine them, else 0."),
    "SandboxLandlock": ("None", "1 where Landlock confines them, else 0."),
}
"""Every metric with its unit and its meaning. What is not declared here cannot be recorded."""

METRICS = {name: unit for name, (unit, _) in DECLARED.items()}
"""Every metric and its unit."""

MAX_VALUES = 100
"""Values of one metric in one line; the format's limit."""


class Metrics:
    """Collects values and writes them as EMF lines when flushed; counts are summed, the others kept apart.

    The only dimension is `Service`, the deployment's name. A creator or a batch would make a metric of each: never one.
    """

    def __init__(
        self,
        namespace: str,
        out: TextIO,
        *,
        service: str = "collage-worker",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._namespace = namespace
        self._service = service
        self._out = out
        self._clock = clock
        self._values: dict[str, list[float]] = defaultdict(list)

    def record(self, name: str, value: float) -> None:
        """Note one value. Raises `KeyError` for a metric that is not declared."""
        unit, values = METRICS[name], self._values[name]
        if unit in {"Count", "Bytes"}:
            values[:] = [sum(values) + value]
        else:
            values.append(round(value, 4))
            if len(values) >= MAX_VALUES:
                self.flush()

    def flush(self) -> None:
        """Write what was collected as one line; nothing where there is nothing."""
        if not self._values:
            return
        names, self._values = dict(self._values), defaultdict(list)
        line = {
            "_aws": {
                "Timestamp": round(self._clock() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": self._namespace,
                        "Dimensions": [["Service"]],
                        "Metrics": [{"Name": name, "Unit": METRICS[name]} for name in names],
                    }
                ],
            },
            "Service": self._service,
        } | {name: values if len(values) > 1 else values[0] for name, values in names.items()}
        self._out.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._out.flush()
