"""Every variable and output of infra/ is described and validated, and every validation is seen to refuse something."""

import re
from collections.abc import Iterator

import pytest

from tests.infra.terraform import ROOT

HALVES = ("data", "service")


def blocks(half: str, kind: str) -> Iterator[tuple[str, str]]:
    """Give the name and text of each `variable` or `output` of a half."""
    text = "".join(path.read_text() for path in sorted((ROOT / "infra" / half).glob("*.tf")))
    yield from re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("half", HALVES)
def test_every_variable_is_described_and_validated(half: str) -> None:
    found = dict(blocks(half, "variable"))
    assert len(found) > 10
    assert [name for name, text in found.items() if not re.search(r'description = ".{20,}"', text)] == []
    assert [name for name, text in found.items() if "validation {" not in text] == []
    assert [name for name, text in found.items() if not re.search(r"^  type +=", text, re.MULTILINE)] == []


@pytest.mark.parametrize("half", HALVES)
def test_every_output_is_described_and_checked(half: str) -> None:
    found = dict(blocks(half, "output"))
    assert len(found) > 2
    assert [name for name, text in found.items() if "description =" not in text] == []
    assert [name for name, text in found.items() if "precondition {" not in text] == []


@pytest.mark.parametrize("half", HALVES)
def test_every_validation_refuses_something_in_a_test(half: str) -> None:
    refused = (ROOT / "infra" / half / "tests" / "refused.tftest.hcl").read_text()
    for name, text in blocks(half, "variable"):
        runs = re.findall(rf"expect_failures = \[var\.{name}\]", refused)
        assert len(runs) >= text.count("validation {"), f"{half}: fewer refusals of {name} than rules for it"


@pytest.mark.parametrize("half", HALVES)
def test_the_example_files_set_variables_that_there_are(half: str) -> None:
    known = {name for name, _ in blocks(half, "variable")}
    for path in sorted((ROOT / "infra" / "env").glob(f"*/{half}.tfvars")):
        named = set(re.findall(r"^#? ?(\w+) += ", path.read_text(), re.MULTILINE))
        assert named <= known, path


@pytest.mark.parametrize("half", HALVES)
def test_the_provider_is_locked_for_every_platform_and_cannot_move_by_itself(half: str) -> None:
    """`zh:` are the checksums of HashiCorp's own packages and their list, `h1:` those of the packages unpacked.

    Terraform itself sees whether that of this machine's platform is right: each test's `init -lockfile=readonly`.
    """
    lock = (ROOT / "infra" / half / ".terraform.lock.hcl").read_text()
    assert re.search(r'version += "5\.100\.\d+"\n +constraints = "~> 5\.100"', lock)
    assert len(set(re.findall(r'"zh:[0-9a-f]{64}"', lock))) == 15
    assert len(set(re.findall(r'"h1:[A-Za-z0-9+/]{43}="', lock))) == 14
    assert 'version = "~> 5.100"' in (ROOT / "infra" / half / "versions.tf").read_text()
    assert (ROOT / "infra" / "data" / ".terraform.lock.hcl").read_text() == lock


@pytest.mark.parametrize("path", ["scripts/deploy_terraform.py", "scripts/infra_test", "tests/infra/terraform.py"])
def test_nothing_that_initialises_terraform_may_change_the_lock(path: str) -> None:
    assert "-lockfile=readonly" in (ROOT / path).read_text()


def test_staging_and_production_share_no_name() -> None:
    """In one account, SQS would hand out the same queue to both, and destroying staging would take production's.

    Names are made of the environment (tests/infra/test_side_by_side.py); the example files must not give any away.
    """
    texts = [(ROOT / "infra" / "env" / name / "data.tfvars").read_text() for name in ("staging", "production")]
    assert [re.findall(r'^environment += "(.+)"', text, re.MULTILINE) for text in texts] == [
        ["staging"],
        ["production"],
    ]
    for text in texts:
        assert re.findall(r"^ *(?:input|output|temp|\w+_name) +=", text, re.MULTILINE) == []
