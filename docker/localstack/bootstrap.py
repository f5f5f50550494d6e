# ruff: noqa: INP001 -- a script that LocalStack's ready hook runs
"""Runs the worker's own `bootstrap` inside LocalStack, with LocalStack's Python and boto3.

The package is mounted beside this file. Its settings are not read here, because LocalStack has no pydantic-settings:
the names come from the environment that the compose file gives to LocalStack and the worker alike.
"""

import os
import sys
from types import SimpleNamespace

from worker.aws.bootstrap import bootstrap

NAMES = ("INPUT_BUCKET", "OUTPUT_BUCKET", "TEMP_BUCKET", "SQS_QUEUE_URL", "SQS_DLQ_URL", "DYNAMODB_TABLE_NAME")

settings = SimpleNamespace(
    aws_region=os.environ["COLLAGE_REGION"],
    aws_endpoint_url="http://localhost:4566",
    **{name.lower(): os.environ[name] for name in NAMES},
)
for line in bootstrap(settings):
    sys.stdout.write(f"bootstrap: {line}\n")
sys.stdout.flush()
