"""Helm, as `make chart-test` installs it: no network, no cluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.chart.rendered import CHART, ROOT, Manifests

HELM = ROOT / ".venv-tools/helm/bin/helm"
NAMESPACE = "taskgate"

needs_helm = pytest.mark.skipif(  # only npm has Helm; with CI=true nothing is skipped
    not HELM.exists() and os.environ.get("CI") != "true",
    reason="Helm is not here: `make chart-test` installs it where npm is",
)


def run(*arguments: str | Path, fails: bool = False) -> str:
    """What Helm says."""
    environment = {**os.environ, "KUBECONFIG": "/nonexistent"}
    done = subprocess.run(
        [HELM, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def values(name: str) -> Path:
    """A values file of the chart."""
    return CHART / f"values-{name}.yaml"


def template(
    *arguments: str | Path, name: str = "taskgate", chart: Path = CHART, fails: bool = False
) -> str:
    """The text of the manifests, or of the refusal."""
    return run("template", name, chart, "--namespace", NAMESPACE, *arguments, fails=fails)


def rendered(*arguments: str | Path, name: str = "taskgate") -> Manifests:
    """The manifests."""
    return Manifests.read(template(*arguments, name=name))


def setting(*pairs: str) -> list[str]:
    """Arguments for single values."""
    return [part for pair in pairs for part in ("--set", pair)]
