#!/usr/bin/env python
"""Deploy an environment of infra/env, ask for its outputs, or take it away. `make deploy ENV=staging`.

Deploying: the data half is brought up to date; the image comes from another environment, where it was proved
(`infra/env/ENV/promote_from`), or is built from the commit and pushed, unless the registry has it; the registry's scan
is read; the service half is planned, shown and applied; then it is waited for until every task runs the new revision
and a smoke batch has gone through it. If either does not come to pass, the image, the Terraform code and the variables
that ran before are applied again, and the exit code is 1. Credentials and region are found as by every AWS tool.
Exit codes: 0 done, 1 failed, 2 the call was wrong.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from deploy_guard import bad_addresses
from deploy_image import Image, Repository, build_and_push, commit, parsed, promote
from deploy_record import Deployment, before, half_of
from deploy_rollout import Service, steady
from deploy_scan import scanned
from deploy_smoke import s3_client, smoke
from deploy_terraform import DeployError, Half, NothingChanged

NO_IMAGE = {"image_tag": "0000000", "image_digest": "sha256:" + "0" * 64}
"""Stands for an image where Terraform wants one but nothing will run: when destroying."""


def deploy(environment: str, tag: str | None, image: str | None, *, yes: bool, allow: Sequence[str] = ()) -> None:
    """Deploy the checked-out commit, the image of `tag`, or the proved image of another registry."""
    data, service = Half("data", environment, allow=allow), Half("service", environment, allow=allow)
    if bad := bad_addresses(allow, (data.folder, service.folder)):
        raise NothingChanged(
            f"--allow-replace: there is no {', '.join(bad)} in infra/; say for example aws_sqs_queue.jobs"
        )
    data.init()
    data.apply({}, yes=yes)
    names = _names(data)
    repository = _repository(names)
    wanted = _image(service, repository, tag, image)
    for finding in scanned(repository, wanted.digest):
        print(f"  {finding}: critical, and told of in SECURITY.md")

    service.init()
    ecs, earlier = _service(names), before(service)
    new = Deployment(wanted.tag, wanted.digest, _commit(), service.read_variables())
    print(
        f"deploying {wanted.tag} to {environment}; "
        + (f"{earlier.image_tag} runs now" if earlier else "nothing runs yet")
    )
    task_before = ecs.task()
    try:
        service.apply(new.given(names), yes=yes)
        _prove(ecs, service, names, wanted.tag)
    except NothingChanged:  # somebody said no, or there was no plan: the service is as it was
        raise
    except (DeployError, ClientError, BotoCoreError, KeyboardInterrupt) as error:
        print(f"deploy: {error or 'interrupted'}", file=sys.stderr)
        _roll_back(ecs, service, names, earlier, new, task_before)
        raise DeployError(f"{wanted.tag} was not deployed to {environment}") from error
    repository.prove(wanted)
    _tell(environment, repository.reference(wanted), service.output("dashboard_url"))


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
    service.destroy({"data_half": _names(data)} | NO_IMAGE, yes=yes)
    if data_too:
        data.destroy({}, yes=yes)


def output(environment: str, name: str | None) -> None:
    """Print the outputs of both halves, or one of them."""
    found: dict[str, Any] = {}
    for half in (Half("data", environment), Half("service", environment)):
        half.init()
        found |= half.outputs()
    if name is None:
        print(json.dumps({key: value for key, value in found.items() if key != "deployment"}, indent=2))
    elif name in found:
        print(found[name] if isinstance(found[name], str) else json.dumps(found[name], indent=2))
    else:
        raise DeployError(f"{environment} has no output {name}; it has {', '.join(sorted(found))}")


def variables(environment: str) -> None:
    """Print the environment variables that the worker's commands need, as a shell reads them."""
    data = Half("data", environment)
    data.init()
    _names(data)
    for name, value in data.output("commands_environment").items():
        print(f"export {name}={shlex.quote(value)}")


def _names(data: Half) -> dict[str, Any]:
    names: dict[str, Any] = data.output("for_service")
    if names["environment"] != data.environment:
        raise NothingChanged(f"the state of {data.environment} holds {names['environment']}: look at its backend.hcl")
    return names


def _image(service: Half, repository: Repository, tag: str | None, image: str | None) -> Image:
    promoted_from = service.variables.parent / "promote_from"
    if tag is None and image is None and promoted_from.is_file():
        image = _proved_in(promoted_from.read_text(encoding="utf-8").strip())
    if image is not None:
        return _promoted(image, repository)
    wanted = tag or commit()
    if found := repository.tagged(wanted):
        print(f"the registry has {wanted}")
        return found
    if tag is not None:
        raise DeployError(f"the registry has no image {tag}; deploy a commit (without TAG) to build one")
    build_and_push(repository, wanted, service.setting("cpu_architecture") or "X86_64")
    pushed = repository.tagged(wanted)
    if pushed is None:
        raise DeployError(f"{wanted} was pushed, and the registry does not have it")
    return pushed


def _proved_in(environment: str) -> str:
    """Return the image that an environment runs now."""
    data, service = Half("data", environment), Half("service", environment)
    data.init()
    service.init()
    there = before(service)
    if there is None:
        raise DeployError(f"nothing is deployed to {environment} yet: there is no image to promote")
    return _repository(_names(data)).reference(there.image)


def _promoted(reference: str, target: Repository) -> Image:
    at = parsed(reference)
    ecr = boto3.client("ecr", region_name=at["region"])
    url = reference.partition("@")[0]
    image = promote(reference, Repository(ecr, at["repository"], url, at["account"]), target)
    print(f"{reference} is {target.url}:{image.tag}, byte for byte")
    return image


def _repository(names: dict[str, Any]) -> Repository:
    ecr = boto3.client("ecr", region_name=names["region"])
    return Repository(ecr, names["repository_arn"].partition("/")[2], names["repository_url"])


def _service(names: dict[str, Any]) -> Service:
    region = names["region"]
    name = f"collage-worker-{names['environment']}-{region}"  # infra/service/locals.tf
    return Service(
        boto3.client("ecs", region_name=region), boto3.client("application-autoscaling", region_name=region), name, name
    )


def _commit() -> str:
    try:
        return commit()
    except DeployError:  # an image that is pushed can be deployed from a tree with changes; they cannot be gone back to
        return "unknown"


def _prove(ecs: Service, service: Half, names: dict[str, Any], tag: str) -> None:
    with ecs.kept_awake():
        print("waiting until every task runs the new revision and is healthy")
        steady(ecs, service.output("task_definition_arn"))
        print("sending a smoke batch")
        sqs = boto3.client("sqs", region_name=names["region"])
        found = smoke(s3_client(names["region"]), sqs, names, tag)
        print(f"it went through: s3://{names['output_bucket']}/{found}")


def _roll_back(
    ecs: Service,
    service: Half,
    names: dict[str, Any],
    earlier: Deployment | None,
    new: Deployment,
    task_before: dict[str, Any] | None,
) -> None:
    """Apply what ran before, so that Terraform's state and ECS agree on it, see it run, and compare."""
    if earlier is None or earlier == new:
        print("deploy: there is nothing to go back to", file=sys.stderr)
        return
    print(f"deploy: going back to {earlier.image_tag}, its code and its variables", file=sys.stderr)
    try:
        with half_of(service, earlier) as half:
            half.apply(earlier.given(names), yes=True)
            with ecs.kept_awake():
                steady(ecs, half.output("task_definition_arn"), patience=900)
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"deploy: could not go back ({error}); run make deploy TAG={earlier.image_tag}", file=sys.stderr)
        return
    different = differences(task_before, ecs.task())
    if different:
        print(f"deploy: the task definition is not what it was: {', '.join(different)}", file=sys.stderr)
    else:
        print(f"deploy: {earlier.image_tag} runs again, its task definition as before", file=sys.stderr)


def differences(one: dict[str, Any] | None, other: dict[str, Any] | None) -> list[str]:
    """Return the parts of a task definition that are not the same in both."""
    one, other = one or {}, other or {}
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _tell(environment: str, reference: str, dashboard: str) -> None:
    print(f"{reference} runs in {environment}: {dashboard}")
    if page := os.environ.get("GITHUB_OUTPUT"):  # a later job promotes it
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(f"image={reference}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    call: Any = _parser().parse_args(arguments)
    try:
        if call.command == "deploy":
            deploy(call.environment, call.tag, call.image, yes=call.yes, allow=call.allow_replace)
        elif call.command == "destroy":
            destroy(call.environment, data_too=call.data, yes=call.yes)
        elif call.command == "output":
            output(call.environment, call.name)
        else:
            variables(call.environment)
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"{call.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Deploy an environment of infra/env, ask for its outputs, or take it away."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("deploy", "destroy", "output", "env"):
        command = commands.add_parser(name)
        command.add_argument("environment", metavar="ENV", help="a folder of infra/env, for example staging")
        if name in {"deploy", "destroy"}:
            command.add_argument("--yes", action="store_true", help="do not ask")
    of_deploy, of_output = commands.choices["deploy"], commands.choices["output"]
    of_deploy.add_argument("--tag", help="an image that is pushed already, for example to go back")
    of_deploy.add_argument("--image", help="an image that another environment has proved: REGISTRY/REPOSITORY@sha256:…")
    of_deploy.add_argument(
        "--allow-replace",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="let the plan delete or replace this thing with what it holds, for example aws_sqs_queue.jobs",
    )
    commands.choices["destroy"].add_argument(
        "--data", action="store_true", help="also buckets, queues, table, registry"
    )
    of_output.add_argument("name", nargs="?", help="one output; all of them unless given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
