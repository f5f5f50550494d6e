#!/usr/bin/env python
"""Deploy an environment of infra/env, or take it away. `make deploy ENV=staging` and `make destroy ENV=staging`.

Deploying: the data half is brought up to date; the image of the commit is built and pushed, unless the registry has it;
the service half is planned, shown and applied; then it is waited for until every task runs the new revision and a smoke
batch has gone through it. If either does not come to pass, the image that ran before is applied again, and the exit
code is 1. Credentials and region are found as by every AWS tool. Exit codes: 0 done, 1 failed, 2 the call was wrong.
"""

import argparse
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from deploy_image import build_and_push, commit, in_registry
from deploy_rollout import Service, steady
from deploy_smoke import s3_client, smoke
from deploy_terraform import DeployError, Half, NothingChanged

NO_IMAGE = "0000000"
"""Stands for a tag where Terraform wants one but nothing will run: when destroying."""


def deploy(environment: str, tag: str | None, *, yes: bool) -> None:
    """Deploy the checked-out commit, or the image of `tag`."""
    wanted = tag or commit()
    data, service = Half("data", environment), Half("service", environment)
    data.init()
    data.apply({}, yes=yes)
    names = data.output("for_service")
    _image(names, wanted, may_build=tag is None)

    service.init()
    ecs = _service(names)
    before = ecs.image_tag()
    print(f"deploying {wanted} to {environment}; " + (f"{before} runs now" if before else "nothing runs yet"))
    try:
        service.apply({"data_half": names, "image_tag": wanted}, yes=yes)
        _prove(ecs, service, names, wanted)
    except NothingChanged:  # somebody said no, or there was no plan: the service is as it was
        raise
    except (DeployError, ClientError, BotoCoreError, KeyboardInterrupt) as error:
        print(f"deploy: {error or 'interrupted'}", file=sys.stderr)
        _roll_back(ecs, service, names, before, wanted)
        raise DeployError(f"{wanted} was not deployed to {environment}") from error
    print(f"{wanted} runs in {environment}: {service.output('dashboard_url')}")


def destroy(environment: str, *, data_too: bool, yes: bool) -> None:
    """Take the service half away, and with `data_too` what it worked on as well."""
    data, service = Half("data", environment), Half("service", environment)
    data.init()
    if data_too and not data.output("disposable"):
        # Terraform would take away what it can (the queue with its messages, the buckets' policies) before it fails.
        raise NothingChanged(
            f"the data half of {environment} is not to be thrown away; if it is, set force_destroy = true in its "
            "data.tfvars (never in production) and deploy that first"
        )
    service.init()
    names = data.output("for_service")
    service.destroy({"data_half": names, "image_tag": _service(names).image_tag() or NO_IMAGE}, yes=yes)
    if data_too:
        data.destroy({}, yes=yes)


def _image(names: dict[str, str], tag: str, *, may_build: bool) -> None:
    ecr = boto3.client("ecr", region_name=names["region"])
    if in_registry(ecr, names["repository_arn"].partition("/")[2], tag):
        print(f"the registry has {tag}")
    elif may_build:
        build_and_push(ecr, names["repository_url"], tag)
    else:
        raise DeployError(f"the registry has no image {tag}; deploy a commit (without TAG) to build one")


def _service(names: dict[str, str]) -> Service:
    region = names["region"]
    name = f"collage-worker-{names['environment']}"  # infra/service/locals.tf
    return Service(
        boto3.client("ecs", region_name=region), boto3.client("application-autoscaling", region_name=region), name, name
    )


def _prove(ecs: Service, service: Half, names: dict[str, str], tag: str) -> None:
    with ecs.kept_awake():
        print("waiting until every task runs the new revision and is healthy")
        steady(ecs, service.output("task_definition_arn"))
        print("sending a smoke batch")
        sqs = boto3.client("sqs", region_name=names["region"])
        found = smoke(s3_client(names["region"]), sqs, names, tag)
        print(f"it went through: s3://{names['output_bucket']}/{found}")


def _roll_back(ecs: Service, service: Half, names: dict[str, str], before: str | None, wanted: str) -> None:
    """Apply the image that ran before, so that Terraform's state and ECS agree on it, and see it run."""
    if before in {None, wanted}:
        print("deploy: there is nothing to go back to", file=sys.stderr)
        return
    print(f"deploy: going back to {before}", file=sys.stderr)
    try:
        service.apply({"data_half": names, "image_tag": before}, yes=True)
        with ecs.kept_awake():
            steady(ecs, service.output("task_definition_arn"), patience=900)
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"deploy: could not go back ({error}); run make deploy TAG={before}", file=sys.stderr)
    else:
        print(f"deploy: {before} runs again", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Deploy an environment of infra/env, or take it away.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("deploy", "destroy"):
        command = commands.add_parser(name)
        command.add_argument("environment", metavar="ENV", help="a folder of infra/env, for example staging")
        command.add_argument("--yes", action="store_true", help="do not ask")
    commands.choices["deploy"].add_argument("--tag", help="an image that is pushed already, for example to go back")
    commands.choices["destroy"].add_argument(
        "--data", action="store_true", help="also buckets, queues, table, registry"
    )
    call: Any = parser.parse_args(arguments)
    try:
        if call.command == "deploy":
            deploy(call.environment, call.tag, yes=call.yes)
        else:
            destroy(call.environment, data_too=call.data, yes=call.yes)
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"{call.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
