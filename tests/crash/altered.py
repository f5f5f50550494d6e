"""A worker with other constants than those it comes with, where a test could not wait as long."""

from pathlib import Path

from tests.integration.processes import ROOT


def altered(folder: Path, code: str) -> dict[str, str]:
    """Return what to add to a worker's environment to have `code` run in it first, with `app` as its composition root.

    Python imports `sitecustomize` by itself before anything else.
    """
    folder.joinpath("sitecustomize.py").write_text(f"import worker.service.app as app\n{code}\n", encoding="utf-8")
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
