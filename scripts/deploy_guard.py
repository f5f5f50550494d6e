"""What must not be lost unasked: reads a plan, and names what it would delete or replace of things that hold data."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOLD_DATA = {
    "aws_cloudwatch_log_group": "log group",
    "aws_dynamodb_table": "table",
    "aws_ecr_repository": "image registry",
    "aws_kms_key": "key",
    "aws_s3_bucket": "bucket",
    "aws_sqs_queue": "queue",
}
OVERRIDE = "allow_replace_override.tf"
_ADDRESS = re.compile(r"[a-z0-9_]+\.[A-Za-z0-9_-]+")


def losses(plan: Mapping[str, Any], allowed: Iterable[str] = ()) -> list[str]:
    """Return a line for each thing with data in it that a plan (`terraform show -json`) deletes or replaces.

    What is named in `allowed` by its address, such as `aws_sqs_queue.jobs`, is left out.
    """
    told = []
    for change in plan.get("resource_changes", []):
        actions, kind = change["change"]["actions"], change["type"]
        address = change["address"].partition("[")[0]
        if kind not in HOLD_DATA or "delete" not in actions or address in set(allowed):
            continue
        what = "replaces" if "create" in actions else "deletes"
        name = _name(change["change"].get("before") or {})
        why = ", ".join(_path(path) for path in change["change"].get("replace_paths", []))
        told.append(
            f"it {what} the {HOLD_DATA[kind]} {name or address} ({address})"
            + (f", because {why} changes" if why else "")
        )
    return told


def _name(before: Mapping[str, Any]) -> str:
    return next((str(before[key]) for key in ("name", "bucket", "key_id") if before.get(key)), "")


def _path(path: Iterable[Any]) -> str:
    return ".".join(str(part) for part in path)


def declared(folder: Path, address: str) -> bool:
    """Say whether a folder's Terraform code has this resource."""
    kind, _, name = address.partition(".")
    block = f'resource "{kind}" "{name}" {{'
    return any(block in path.read_text(encoding="utf-8") for path in folder.glob("*.tf"))


def bad_addresses(addresses: Iterable[str], folders: Iterable[Path]) -> list[str]:
    """Return those of the addresses that name nothing in any of the folders."""
    places = list(folders)
    return [
        address
        for address in addresses
        if not _ADDRESS.fullmatch(address) or not any(declared(folder, address) for folder in places)
    ]


@contextmanager
def lifted(folder: Path, addresses: Iterable[str]) -> Iterator[None]:
    """Lift `prevent_destroy` for some resources meanwhile, by an override file, which Terraform merges in."""
    path = folder / OVERRIDE
    blocks = [
        f'resource "{kind}" "{name}" {{\n  lifecycle {{\n    prevent_destroy = false\n  }}\n}}\n'
        for kind, _, name in (address.partition(".") for address in addresses)
        if declared(folder, f"{kind}.{name}")
    ]
    try:
        if blocks:
            path.write_text("\n".join(blocks), encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)


def protected(folder: Path) -> list[str]:
    """Return the addresses of all resources of a folder that hold data."""
    found = re.findall(
        r'^resource "(\w+)" "(\w+)" \{$',
        "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf"))),
        re.MULTILINE,
    )
    return [f"{kind}.{name}" for kind, name in found if kind in HOLD_DATA]
