#!/usr/bin/env python
"""Make a user at the emulator of AWS_ENDPOINT_URL, and print the key; see scripts/test_ministack.

Requests of its root, whose key is `root`, are let through unsigned. Those of a user are not: it is asked once with a
wrong secret, so that a judge who looks away is noticed. Exit code 1 where the emulator does not come up, or looks away.
"""

import json
import sys
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

PATIENCE = 60.0
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
NAME = "worker"


def client(service: str, key: str = "root", secret: str = "root") -> Any:  # noqa: S107 -- of an emulator
    """Return a client for the emulator."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def wait() -> None:
    """Wait until it answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            client("s3").list_buckets()
        except EndpointConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def refuses(service: str, operation: str, key: str) -> bool:
    """Say whether a request with a wrong signature is refused."""
    try:
        getattr(client(service, key, "wrong"), operation)()
    except ClientError as error:
        return "Signature" in error.response["Error"]["Code"]
    return False


def main() -> int:
    """Make the user; returns the exit code."""
    try:
        wait()
    except EndpointConnectionError as error:
        print(f"the emulator does not come up: {error}", file=sys.stderr)
        return 1
    iam = client("iam")
    iam.create_user(UserName=NAME)
    iam.put_user_policy(UserName=NAME, PolicyName="everything", PolicyDocument=json.dumps(EVERYTHING))
    made = iam.create_access_key(UserName=NAME)["AccessKey"]
    for service, operation in (("s3", "list_buckets"), ("sqs", "list_queues"), ("dynamodb", "list_tables")):
        if not refuses(service, operation, made["AccessKeyId"]):
            print(f"the emulator takes calls to {service} with a wrong signature: it judges nothing", file=sys.stderr)
            return 1
    print(made["AccessKeyId"], made["SecretAccessKey"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
