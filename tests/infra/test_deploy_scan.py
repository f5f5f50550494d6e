"""The registry's scan is waited for, and one critical finding that nobody wrote about stops the deployment."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from deploy_image import Repository
from deploy_scan import platforms, scanned
from deploy_terraform import DeployError

INDEX = {
    "manifests": [
        {"digest": "sha256:image", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:attestation", "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
}
BASIC = {"findings": [{"name": "CVE-2099-0001", "severity": "CRITICAL"}, {"name": "CVE-2099-0002", "severity": "HIGH"}]}
ENHANCED = {
    "enhancedFindings": [
        {"severity": "CRITICAL", "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-2099-0003"}},
        {"severity": "MEDIUM", "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-2099-0004"}},
    ]
}


class NoScanError(Exception):
    """ECR has not begun."""


class FakeEcr:
    """Answers with one state of the scan after the other; the last one stays."""

    class exceptions:  # noqa: N801 -- as boto3 has it
        ScanNotFoundException = NoScanError

    def __init__(self, *states: tuple[str, dict[str, Any]]) -> None:
        self.states = list(states)
        self.asked: list[str] = []

    def get_paginator(self, _: str) -> "FakeEcr":
        return self

    def paginate(self, *, imageId: dict[str, str], **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        self.asked.append(imageId["imageDigest"])
        status, findings = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if status == "NONE":
            raise NoScanError
        yield {"imageScanStatus": {"status": status, "description": "why"}, "imageScanFindings": findings}

    def batch_get_image(self, **_: Any) -> dict[str, Any]:
        return {"images": [{"imageManifest": json.dumps(INDEX)}]}


class FakeTime:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def scan(*states: tuple[str, dict[str, Any]]) -> tuple[list[str], FakeEcr]:
    ecr, time = FakeEcr(*states), FakeTime()
    found = scanned(Repository(ecr, "worker", "url"), "sha256:index", patience=60, clock=time, sleep=time.sleep)
    return found, ecr


def test_what_is_scanned_is_the_image_in_the_index_and_not_its_attestation() -> None:
    found, ecr = scan(("COMPLETE", {}))
    assert (found, ecr.asked) == ([], ["sha256:image"])
    assert platforms('{"layers": []}', "sha256:plain") == ["sha256:plain"]


def test_a_scan_that_has_not_begun_or_ended_is_waited_for() -> None:
    _, ecr = scan(("NONE", {}), ("IN_PROGRESS", {}), ("COMPLETE", {}))
    assert len(ecr.asked) == 3


@pytest.mark.parametrize(("status", "findings", "name"), [("COMPLETE", BASIC, "0001"), ("ACTIVE", ENHANCED, "0003")])
def test_a_critical_finding_stops_it_and_is_named(status: str, findings: dict[str, Any], name: str) -> None:
    with pytest.raises(DeployError, match=rf"1 critical findings: CVE-2099-{name}\."):
        scan((status, findings))


def test_a_critical_finding_that_security_md_tells_of_does_not() -> None:
    told = {"findings": [{"name": "CVE-2026-42311", "severity": "CRITICAL"}]}
    assert scan(("COMPLETE", told))[0] == ["CVE-2026-42311"]


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "a new one"])
def test_a_scan_that_cannot_be_done_proves_nothing(status: str) -> None:
    with pytest.raises(DeployError, match="cannot scan"):
        scan((status, {}))


def test_a_scan_without_end_proves_nothing() -> None:
    with pytest.raises(DeployError, match="not come to an end"):
        scan(("PENDING", {}))
