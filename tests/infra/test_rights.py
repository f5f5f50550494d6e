"""The task role holds what the worker's code calls, and nothing more."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

from tests.infra.terraform import ROOT, Rendered

# What runs in a task. The commands of worker/cli are people's, with rights of their own; bootstrap is for emulators.
IN_THE_TASK = [ROOT / "worker" / room for room in ("service", "jobs", "images", "aws")]
NOT_IN_THE_TASK = {"bootstrap.py"}

# Which rights a call needs: https://docs.aws.amazon.com/service-authorization/latest/reference/
NEEDED = {
    "s3": {
        "head_bucket": {"s3:ListBucket"},
        # ListBucket: without it what is missing looks forbidden. The version's right: where a version is named.
        "head_object": {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"},
        "get_object": {"s3:GetObject", "s3:GetObjectVersion"},
        "copy_object": {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
        "put_object": {"s3:PutObject"},
        "delete_object": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
        "delete_objects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
        "list_objects_v2": {"s3:ListBucket"},
        "create_multipart_upload": {"s3:PutObject"},
        "upload_part": {"s3:PutObject"},
        "upload_part_copy": {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
        "complete_multipart_upload": {"s3:PutObject"},
        "abort_multipart_upload": {"s3:AbortMultipartUpload"},
        "generate_presigned_url": set(),
    },
    "sqs": {
        "receive_message": {"sqs:ReceiveMessage"},
        "delete_message": {"sqs:DeleteMessage"},
        "delete_message_batch": {"sqs:DeleteMessage"},
        "change_message_visibility": {"sqs:ChangeMessageVisibility"},
        "change_message_visibility_batch": {"sqs:ChangeMessageVisibility"},
        "send_message": {"sqs:SendMessage"},
        "send_message_batch": {"sqs:SendMessage"},
        "get_queue_attributes": {"sqs:GetQueueAttributes"},
        "get_queue_url": {"sqs:GetQueueUrl"},
    },
    "dynamodb": {
        "get_item": {"dynamodb:GetItem"},
        "batch_get_item": {"dynamodb:BatchGetItem"},
        "put_item": {"dynamodb:PutItem"},
        "update_item": {"dynamodb:UpdateItem"},
        "delete_item": {"dynamodb:DeleteItem"},
        "batch_write_item": {"dynamodb:BatchWriteItem"},
        "query": {"dynamodb:Query"},
        "transact_write_items": {"dynamodb:UpdateItem"},  # the worker's transactions hold updates only
        "describe_table": {"dynamodb:DescribeTable"},
    },
}

# Rights that no call in the code shows.
BESIDES = {
    # asked of the ECS agent over HTTP, which acts with the task's role
    "ecs:GetTaskProtection",
    "ecs:UpdateTaskProtection",
    # DynamoDB uses the table's key in the caller's name
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey*",
    "kms:ReEncrypt*",
}


def operations() -> dict[str, str]:
    """Return the Python name of every operation of the three services, and whose it is."""
    session = botocore.session.get_session()
    return {
        xform_name(name): service for service in NEEDED for name in session.get_service_model(service).operation_names
    }


def calls() -> Iterator[tuple[str, str]]:
    """Give each call of an AWS client in the code that runs in a task: its file and the operation."""
    known = operations()
    for room in IN_THE_TASK:
        for path in sorted(room.rglob("*.py")):
            if path.name not in NOT_IN_THE_TASK:
                yield from ((path.name, name) for name in called(path) if name in known)


def called(path: Path) -> Iterator[str]:
    """Give the names of what a file calls on something that is named like a client; also where it is passed on."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and is_client(node.value):
            yield node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_paginator":
            yield node.args[0].value if isinstance(node.args[0], ast.Constant) else "?"


def is_client(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_") in {"client", "s3", "sqs", "dynamodb"}


def granted(service: Rendered) -> list[Any]:
    statements: list[Any] = json.loads(service.one("aws_iam_role_policy.task")["policy"])["Statement"]
    return statements


def actions(statement: Any) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


def test_the_calls_are_found_in_the_code() -> None:
    found = {name for _, name in calls()}
    assert {"receive_message", "put_object", "copy_object", "put_item", "update_item", "delete_message"} <= found


def test_no_call_hides_behind_another_name() -> None:
    """The search looks at what is named like a client; nothing else may have a name of AWS's operations."""
    known = operations()
    hidden = [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for room in IN_THE_TASK
        for path in sorted(room.rglob("*.py"))
        if path.name not in NOT_IN_THE_TASK
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in known and not is_client(node.value)
    ]
    assert hidden == []


def test_the_task_may_do_what_the_code_calls_and_nothing_more(service: Rendered) -> None:
    known = operations()
    needed = set(BESIDES)
    for file, name in calls():
        assert name in NEEDED[known[name]], f"{file} calls {name}: say in NEEDED which rights that takes"
        needed |= NEEDED[known[name]][name]
    given = set().union(*(actions(statement) for statement in granted(service)))
    assert given == needed, f"missing: {needed - given}; not needed: {given - needed}"


def test_every_right_stands_for_some_resource_of_ours(service: Rendered) -> None:
    for statement in granted(service):
        assert statement["Effect"] == "Allow"
        resources = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        for resource in resources:
            assert resource != "*", statement
            assert resource.startswith("arn:"), statement


def test_the_manifests_and_the_scratch_space_are_written_where_the_contract_says(service: Rendered) -> None:
    writable = [
        resource
        for statement in granted(service)
        if "s3:PutObject" in actions(statement)
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    ]
    assert sorted(writable) == [
        "arn:aws:s3:::test-input/archived/*",
        "arn:aws:s3:::test-output/*",
        "arn:aws:s3:::test-temp/debug/*",
        "arn:aws:s3:::test-temp/large-files/*",
        "arn:aws:s3:::test-temp/processing/*",
    ]
