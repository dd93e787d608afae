"""The manifests and the Dockerfile before the judges that platform teams have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart.helm import needs_helm, rendered, template
from tests.deploy.chart.judges import NEWEST, TOOLS, checkov, newest_versions, validate
from tests.deploy.chart.rendered import FOLDER, NAMES, ROOT

pytestmark = pytest.mark.chart

EXCEPTIONS = Path(__file__).with_name("exceptions.yaml")
EVERYTHING = Path(__file__).with_name("values-everything.yaml")
FOREIGN = {"cert-manager.io", "gateway.envoyproxy.io", "gateway.networking.k8s.io"} | {
    "monitoring.coreos.com"
}
"""Groups of custom resources, whose schemas kubernetes-validate does not have."""


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
    assert checkov(files, "kubernetes", "dockerfile") == expected


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
