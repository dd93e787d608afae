"""The manifests and the Dockerfile before the judges that platform teams have."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart.helm import needs_helm, rendered, template
from tests.deploy.chart.rendered import FOLDER, NAMES, ROOT

pytestmark = pytest.mark.chart

TOOLS = ROOT / ".venv-tools"
EXCEPTIONS = Path(__file__).with_name("exceptions.yaml")
EVERYTHING = Path(__file__).with_name("values-everything.yaml")
NEWEST = 3
FOREIGN = {"cert-manager.io", "gateway.envoyproxy.io", "gateway.networking.k8s.io"} | {
    "monitoring.coreos.com"
}
"""Groups of custom resources, whose schemas kubernetes-validate does not have."""


def newest_versions() -> list[str]:
    """Those whose schemas kubernetes-validate has."""
    folders = TOOLS.glob(
        "kubernetes/lib/*/site-packages/kubernetes_validate/kubernetes-json-schema/*"
    )
    found = (re.fullmatch(r"v(\d+)\.(\d+)\.\d+-local-strict", each.name) for each in folders)
    versions = sorted((int(each[1]), int(each[2])) for each in found if each)
    return [f"{major}.{minor}" for major, minor in versions[-NEWEST:]]


def validate(version: str, file: Path) -> list[str]:
    """The lines of those that are no objects of Kubernetes itself."""
    tool = TOOLS / "kubernetes/bin/kubernetes-validate"
    assert tool.exists(), "make chart-test installs it"
    done = subprocess.run(
        [tool, "--strict", "-k", version, file], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0, "\n".join(line for line in lines if "INFO" not in line)
    return [line for line in lines if "passed for resource" not in line]


def assert_all_foreign(lines: list[str]) -> None:
    for line in lines:
        assert re.search(r"Couldn't find schema .* api version ([^/]+)/", line)[1] in FOREIGN  # type: ignore[index]  # else it fails


@pytest.mark.parametrize("version", range(NEWEST), ids=["third", "second", "newest"])
@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_accepts_every_field(name: str, version: int) -> None:
    assert_all_foreign(validate(newest_versions()[version], FOLDER / f"{name}.yaml"))


@needs_helm
@pytest.mark.parametrize("version", range(NEWEST), ids=["third", "second", "newest"])
def test_kubernetes_accepts_every_field_of_every_branch(version: int, tmp_path: Path) -> None:
    file = tmp_path / "everything.yaml"
    file.write_text(template("-f", EVERYTHING))
    assert_all_foreign(validate(newest_versions()[version], file))


def test_an_unknown_field_is_detected(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    text = (FOLDER / "minimal.yaml").read_text()
    file.write_text(text.replace("maxUnavailable: 1\n", "maxUnavailabel: 1\n"))
    with pytest.raises(AssertionError, match="maxUnavailabel"):
        validate(newest_versions()[-1], file)


def test_checkov_finds_the_exceptions_and_nothing_else() -> None:
    expected = {
        (each["check"], place)
        for each in yaml.safe_load(EXCEPTIONS.read_text())
        for place in each["in"]
        if each["why"]
    }
    files = [*(FOLDER / f"{name}.yaml" for name in NAMES), ROOT / "Dockerfile"]
    assert checkov(files) == expected


def checkov(files: list[Path]) -> set[tuple[str, str]]:
    """Check and file of all that it finds."""
    tool = TOOLS / "checkov/bin/checkov"
    assert tool.exists(), "make chart-test installs it"
    named = [part for file in files for part in ("-f", str(file))]
    frameworks = ["--framework", "kubernetes", "dockerfile"]
    done = subprocess.run(
        [tool, *named, *frameworks, "--output", "json", "--skip-download", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        # It would read its own settings, and no others than those here are to hold.
        cwd=TOOLS,
    )
    reports = json.loads(done.stdout)
    assert {report["check_type"] for report in reports} == {"kubernetes", "dockerfile"}
    assert all(report["summary"]["passed"] > 50 for report in reports)
    assert all(report["summary"]["parsing_errors"] == 0 for report in reports)
    return {
        (check["check_id"], Path(check["file_path"]).name)
        for report in reports
        for check in report["results"]["failed_checks"]
    }


def test_hadolint_finds_nothing() -> None:
    tool = TOOLS / "hadolint/bin/hadolint"
    assert tool.exists(), "make chart-test installs it"
    config = Path(__file__).with_name("hadolint.yaml")
    done = subprocess.run(
        [tool, "--config", config, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_helm
@pytest.mark.skipif(  # only Debian has promtool; with CI=true nothing is skipped
    not shutil.which("promtool") and os.environ.get("CI") != "true",
    reason="promtool is not here: Debian's package `prometheus` has it",
)
def test_prometheus_accepts_the_alerts(tmp_path: Path) -> None:
    (rule,) = rendered("-f", EVERYTHING).of("PrometheusRule")
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    subprocess.run(["promtool", "check", "rules", file], check=True)
