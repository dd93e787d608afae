"""Plain manifests for those without Helm: the chart, rendered with each of its values files."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHART = Path("deploy/helm/taskgate")
FOLDER = Path("deploy/kubernetes")
HELM = Path(".venv-tools/helm/bin/helm")
NAME = "taskgate"

HEAD = """\
# Rendered from deploy/helm/taskgate with {values} by `make chart`: change those.
"""


def values_files(root: Path) -> list[Path]:
    """The values files, beside the defaults."""
    return sorted((root / CHART).glob("values-*.yaml"))


def render(root: Path, values: Path, *arguments: str) -> str:
    """The manifests, without those of `helm test`.

    Raises:
        subprocess.CalledProcessError: the chart refuses the values; stderr says why.
    """
    chart = str(root / CHART)
    command = [root / HELM, "template", NAME, chart, "--namespace", NAME, "--values", values]
    return subprocess.run(  # noqa: S603  # our own
        [*map(str, command), *arguments], check=True, capture_output=True, text=True
    ).stdout


def generate(root: Path) -> dict[Path, str]:
    """The manifests, by their place; none without Helm."""
    if not (root / HELM).exists():
        return {}
    return {
        root / FOLDER / f"{path.stem.removeprefix('values-')}.yaml": HEAD.format(values=path.name)
        + render(root, path, "--skip-tests")
        for path in values_files(root)
    }
