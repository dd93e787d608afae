"""Runs tools that check manifests, as `make chart-test` installs them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.deploy.chart.rendered import ROOT

TOOLS = ROOT / ".venv-tools"
NEWEST = 3


def newest_versions() -> list[str]:
    """Return the newest versions of Kubernetes whose schemas kubernetes-validate has."""
    folders = TOOLS.glob(
        "kubernetes/lib/*/site-packages/kubernetes_validate/kubernetes-json-schema/*"
    )
    found = (re.fullmatch(r"v(\d+)\.(\d+)\.\d+-local-strict", each.name) for each in folders)
    versions = sorted((int(each[1]), int(each[2])) for each in found if each)
    return [f"{major}.{minor}" for major, minor in versions[-NEWEST:]]


def validate(version: str, file: Path) -> list[str]:
    """Validate a file, and return the lines about objects that are not Kubernetes' own."""
    tool = TOOLS / "kubernetes/bin/kubernetes-validate"
    assert tool.exists(), "make chart-test installs it"
    done = subprocess.run(
        [tool, "--strict", "-k", version, file], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0, "\n".join(line for line in lines if "INFO" not in line)
    return [line for line in lines if "passed for resource" not in line]


def checkov(files: list[Path], *frameworks: str) -> set[tuple[str, str]]:
    """Return the check and the file of all that checkov finds."""
    tool = TOOLS / "checkov/bin/checkov"
    assert tool.exists(), "make chart-test installs it"
    named = [part for file in files for part in ("-f", str(file))]
    done = subprocess.run(
        [
            tool,
            *named,
            "--framework",
            *frameworks,
            "--output",
            "json",
            "--skip-download",
            "--quiet",
        ],
        capture_output=True,
        text=True,
        check=False,
        # It would read its own settings, and no others than those here are to hold.
        cwd=TOOLS,
    )
    found = json.loads(done.stdout)
    reports = found if isinstance(found, list) else [found]  # of one framework
    assert {report["check_type"] for report in reports} == set(frameworks)
    assert all(report["summary"]["passed"] > 50 for report in reports)
    assert all(report["summary"]["parsing_errors"] == 0 for report in reports)
    return {
        (check["check_id"], Path(check["file_path"]).name)
        for report in reports
        for check in report["results"]["failed_checks"]
    }
