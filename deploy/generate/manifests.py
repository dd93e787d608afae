"""Render the chart with each of its values files, as plain manifests for users without Helm."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHART = Path("deploy/helm/taskgate")
FOLDER = Path("deploy/kubernetes")
HELM = Path(".venv-tools/helm/bin/helm")
NAME = "taskgate"

HEAD = """\
# Generated from deploy/helm/taskgate and {values} by `make chart`. Do not edit.
"""


def values_files(root: Path) -> list[Path]:
    """Return the values files, without the defaults."""
    return sorted((root / CHART).glob("values-*.yaml"))


def render(root: Path, values: Path, *arguments: str) -> str:
    """Return the manifests for a values file.

    Raises:
        subprocess.CalledProcessError: the chart refuses the values; stderr says why.
    """
    chart = str(root / CHART)
    command = [root / HELM, "template", NAME, chart, "--namespace", NAME, "--values", values]
    return subprocess.run(  # noqa: S603  # arguments are our own
        [*map(str, command), *arguments], check=True, capture_output=True, text=True
    ).stdout


def generate(root: Path) -> dict[Path, str]:
    """Return the manifests by path; none without Helm."""
    if not (root / HELM).exists():
        return {}
    return {
        root / FOLDER / f"{path.stem.removeprefix('values-')}.yaml": HEAD.format(values=path.name)
        + render(root, path, "--skip-tests")
        for path in values_files(root)
    }
