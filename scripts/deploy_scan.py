"""What the registry's scan of an image found: a critical finding that SECURITY.md does not tell of stops it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from deploy_image import Repository
from deploy_terraform import ROOT, DeployError

STOPS = "CRITICAL"
LOOK_EVERY = 10.0
DONE = {"COMPLETE", "ACTIVE"}
"""Basic scanning is COMPLETE once; enhanced scanning stays ACTIVE and goes on."""


def scanned(
    repository: Repository,
    digest: str,
    *,
    patience: float = 900.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Wait for the scan, and return the critical findings that are known. Raises `DeployError` for one that is not.

    A scan that does not come to an end, or that the registry cannot do, proves nothing: that stops as well.
    """
    end, known = clock() + patience, _known()
    found: set[str] = set()
    for each in platforms(repository.manifest(digest), digest):
        found |= set(_findings(repository, each, end, clock, sleep))
    unknown = sorted(found - known)
    if unknown:
        raise DeployError(
            f"the registry's scan of {digest} has {len(unknown)} critical findings: {', '.join(unknown)}. Build with "
            "what mends them; one that cannot hurt here is named in SECURITY.md, with the reason"
        )
    return sorted(found)


def platforms(manifest: str, digest: str) -> list[str]:
    """Return the digests that are scanned: an index's images, attestations left out; or the image itself."""
    parts = json.loads(manifest).get("manifests")
    if parts is None:
        return [digest]
    return [part["digest"] for part in parts if part.get("platform", {}).get("os") not in {None, "unknown"}]


def _findings(
    repository: Repository, digest: str, end: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[str]:
    while True:
        status, description, found = _asked(repository, digest)
        if status in DONE:
            yield from found
            return
        if status not in {"IN_PROGRESS", "PENDING", "NONE"}:
            raise DeployError(f"the registry cannot scan {digest}: {status}, {description or 'no reason given'}")
        if clock() >= end:
            raise DeployError(f"the registry's scan of {digest} has not come to an end: {status}")
        print(f"  scan of {digest[:19]}: {status.lower()}", flush=True)
        sleep(LOOK_EVERY)


def _asked(repository: Repository, digest: str) -> tuple[str, str, list[str]]:
    pages = repository.ecr.get_paginator("describe_image_scan_findings").paginate(
        **repository.where(), imageId={"imageDigest": digest}
    )
    status, description, critical = "NONE", "", []
    try:
        for page in pages:
            said = page.get("imageScanStatus", {})
            status, description = said.get("status", "NONE"), said.get("description", "")
            critical += _critical(page.get("imageScanFindings", {}))
    except repository.ecr.exceptions.ScanNotFoundException:
        return "NONE", "", []
    return status, description, critical


def _critical(findings: dict[str, Any]) -> Iterator[str]:
    for each in findings.get("findings", []):
        if each.get("severity") == STOPS:
            yield str(each["name"])
    for each in findings.get("enhancedFindings", []):
        if each.get("severity") == STOPS:
            details = each.get("packageVulnerabilityDetails", {})
            yield str(details.get("vulnerabilityId") or each.get("title") or each["findingArn"])


def _known() -> set[str]:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    return set(re.findall(r"(?:CVE|GHSA|PYSEC)-[0-9a-z]+-[0-9a-z-]*[0-9a-z]", text))
