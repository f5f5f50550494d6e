"""The bootstrap module runs inside LocalStack's own Python, where nothing of ours is installed."""

import subprocess
import sys

OURS_ALONE = (
    "pydantic",
    "pydantic_settings",
    "aiobotocore",
    "aiohttp",
    "structlog",
    "tenacity",
    "typer",
    "rich",
    "PIL",
)


def test_the_bootstrap_module_imports_nothing_but_boto3() -> None:
    program = f"import sys; sys.modules.update(dict.fromkeys({OURS_ALONE!r})); import worker.aws.bootstrap"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
