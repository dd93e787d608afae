"""Docs, dashboard and alerts name the metrics that there are, and all of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskgate_client import connect
from taskgate_emulator import Emulator
from tests.support.demo_names import RUNNING_NAME
from tests.support.metered_server import METRIC_PREFIX, MeteredServer, metered_server
from tests.telemetry.observability_files import ALERTS, DASHBOARD, RULES, expressions

ROOT = Path(__file__).parents[2]
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
OPERATIONS = (ROOT / "docs/operations.md").read_text()


# Samples every 15 s, as promtool writes them: `1x4` is five samples of 1.
SITUATIONS: dict[str, tuple[str, dict[str, str], bool]] = {
    "open": ("1x4 0x60", {"open": "0x4 1x60", "half-open": "0x64"}, True),
    "half-open": ("1x4 0x60", {"open": "0x64", "half-open": "0x4 1x60"}, True),
    "open and half-open": (
        "0x64",
        {"open": "1 0 " * 32, "half-open": "0 1 " * 32},
        True,
    ),
    "flapping": ("1 0 0 1 " * 16, {"open": "0 1 0 0 " * 16, "half-open": "0 0 1 0 " * 16}, True),
    "works": ("1x64", {"open": "0x64", "half-open": "0x64"}, False),
    "short": (
        "1x30 0x4 1x30",
        {"open": "0x30 1x4 0x30", "half-open": "0x64"},
        False,
    ),
}
"""taskgate_aws_ready, taskgate_breaker_state by state, and whether the alerts fire."""


def expected(alert: str) -> list[dict[str, Any]]:
    """Return the alert about the one service, as promtool compares it."""
    [rule] = [each for each in ALERTS if each["alert"] == alert]
    annotations = {
        name: text.replace("{{ $labels.service }}", "omics")
        for name, text in rule["annotations"].items()
    }
    labels = {**rule["labels"], "target": "t", "service": "omics"}
    return [{"exp_labels": labels, "exp_annotations": annotations}]


@pytest.fixture(scope="module")
def observed() -> Iterator[MeteredServer]:
    with Emulator() as aws, metered_server(aws.endpoint_url) as observed:
        with connect(observed.address) as caller:
            caller.get_task(RUNNING_NAME)
        yield observed


@pytest.fixture(scope="module")
def types(observed: MeteredServer) -> dict[str, str]:
    """Every metric of our own as Prometheus names it, with its type."""
    return {
        name + ("_total" if family.type == "counter" else ""): family.type
        for name, family in observed.families().items()
        if name.startswith(METRIC_PREFIX) and not name.endswith("_created")
    }


def documented() -> dict[str, str]:
    table = OPERATIONS.partition("## Metrics")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(taskgate_\w+)` \| (\w+) \|", table, re.MULTILINE))


def test_the_docs_have_every_metric_with_its_type(types: dict[str, str]) -> None:
    assert documented() == types


def test_metrics_in_dashboard_and_alerts_exist(types: dict[str, str]) -> None:
    known = {name + part for name, kind in types.items() for part in PARTS.get(kind, ("",))}
    named = {name for text in expressions() for name in re.findall(rf"\b{METRIC_PREFIX}\w+", text)}
    assert named <= known


def test_the_dashboard_shows_every_metric(types: dict[str, str]) -> None:
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    assert [name for name in types if name not in shown] == []


def test_labels_in_dashboard_and_alerts_are_those_of_the_metrics() -> None:
    labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", " ".join(expressions())))
    assert labels == {"instance", "state", "method", "code", "service", "target"}


def test_each_alert_has_a_runbook() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert re.findall(r"^### (\w+)$", OPERATIONS, re.MULTILINE) == names
    for alert in ALERTS:
        anchor = f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook"] == anchor


def test_panels_do_not_overlap() -> None:
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in DASHBOARD["panels"]]
    assert len(set(places)) == len(places) > 20


if shutil.which("promtool"):  # of the Debian package `prometheus`, which .ci/run installs

    def test_prometheus_takes_the_alerts() -> None:
        subprocess.run(["promtool", "check", "rules", RULES], check=True)

    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_prometheus_fires_the_alerts_of_outages(situation: str, tmp_path: Path) -> None:
        ready, state, fires = SITUATIONS[situation]
        labels = 'target="t",service="omics"'
        series = [{"series": f"taskgate_aws_ready{{{labels}}}", "values": ready}]
        for name, values in state.items():
            metric = f'taskgate_breaker_state{{{labels},state="{name}"}}'
            series.append({"series": metric, "values": values})
        checks = [
            {"eval_time": "12m", "alertname": alert, "exp_alerts": expected(alert) if fires else []}
            for alert in ("TaskgateAwsNotReady", "TaskgateBreakerOpen")
        ]
        test = {"interval": "15s", "input_series": series, "alert_rule_test": checks}
        file = tmp_path / "test.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
        subprocess.run(["promtool", "test", "rules", file], check=True)

    def test_prometheus_finds_no_fault_with_the_metrics(observed: MeteredServer) -> None:
        linted = subprocess.run(
            ["promtool", "check", "metrics"],
            input=observed.text(),
            text=True,
            capture_output=True,
            check=False,
        )
        output = (linted.stdout + linted.stderr).splitlines()
        assert [line for line in output if line.startswith(METRIC_PREFIX)] == []
