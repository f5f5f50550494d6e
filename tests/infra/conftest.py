"""What the infrastructure tests share: both halves as they would be made, on a mocked provider."""

import sys
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.infra.emulator import NAMES, client, moto
from tests.infra.terraform import ROOT, Half, Rendered, rendered

sys.path.insert(0, str(ROOT / "scripts"))  # scripts import each other by name


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return the service half with production's example variables."""
    half = Half("service", tmp_path_factory.mktemp("service"))
    half.init("-backend=false")
    return rendered(half, "production")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return the data half with production's example variables."""
    half = Half("data", tmp_path_factory.mktemp("data"))
    half.init("-backend=false")
    return rendered(half, "production")


@pytest.fixture(scope="session")
def without_tls(applied: str) -> str:
    """Let the worker speak HTTP to the emulator: the buckets' policies refuse that, as they should."""
    s3 = client("s3", applied)
    for name in ("INPUT_BUCKET", "OUTPUT_BUCKET", "TEMP_BUCKET"):
        with pytest.raises(ClientError, match=r"Forbidden|AccessDenied"):
            s3.put_object(Bucket=NAMES[name], Key="without-tls", Body=b"")
        s3.delete_bucket_policy(Bucket=NAMES[name])
    return applied


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Apply the data half, its real code, to an emulator over HTTP; gives the emulator's URL."""
    place = tmp_path_factory.mktemp("applied")
    half = Half("data", place)
    # Nothing but where the state is kept, and how buckets are addressed, differs from what goes to AWS.
    (half.folder / "test_override.tf").write_text(
        'terraform {\n  backend "local" {}\n}\n\nprovider "aws" {\n  s3_use_path_style = true\n}\n'
    )
    half.init()
    with moto(place / "moto.log") as url:
        variables = ("-var", "environment=test", "-var", f"python={sys.executable}")
        half.run("apply", "-auto-approve", "-input=false", *variables, AWS_ENDPOINT_URL=url)
        again = half.run("plan", "-input=false", *variables, AWS_ENDPOINT_URL=url)
        assert "No changes." in again, again[-2000:]
        yield url
