"""CloudWatch metrics in Embedded Metric Format: JSON lines on stdout, no API call.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TextIO

METRICS = {
    "ProcessingDuration": "Seconds",
    "ImagesProcessed": "Count",
    "ErrorCount": "Count",
    "CollagesWritten": "Count",
    "BytesDownloaded": "Bytes",
    "DownloadLatency": "Seconds",
    "QueueDelay": "Seconds",
    "MemoryUtilization": "Percent",
    "DependencyDown": "Count",
    "SandboxSeccomp": "None",
    "SandboxNamespaces": "None",
    "SandboxLandlock": "None",
}
"""Every metric and its unit. What is not declared here cannot be recorded."""

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
