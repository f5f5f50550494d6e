#!/usr/bin/env python
"""Set the largest message of one SQS queue, and wait until SQS says so. Called by infra/data/message_size.tf.

Reads QUEUE_URL, MAX_MESSAGE_SIZE (bytes) and AWS_REGION; credentials and endpoint are found as by every AWS tool.
"""

import os
import sys
import time

import boto3

PATIENCE = 90.0
"""Seconds; SQS takes up to 60 to spread a change."""


def main() -> int:
    """Set the attribute; returns the exit code."""
    url, wanted = os.environ["QUEUE_URL"], os.environ["MAX_MESSAGE_SIZE"]
    sqs = boto3.client("sqs", region_name=os.environ["AWS_REGION"])
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": wanted})
    end = time.monotonic() + PATIENCE
    while True:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["MaximumMessageSize"])["Attributes"]
        if found["MaximumMessageSize"] == wanted:
            return 0
        if time.monotonic() > end:
            print(f"{url}: asked for MaximumMessageSize {wanted}, found {found['MaximumMessageSize']}", file=sys.stderr)
            return 1
        time.sleep(2)


if __name__ == "__main__":
    sys.exit(main())
