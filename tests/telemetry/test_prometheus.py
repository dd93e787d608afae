"""Prometheus itself, of the Debian package `prometheus`, scrapes a server and runs our queries."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from taskgate_client import CallError, connect
from taskgate_emulator import Emulator
from tests.support.demo_names import RUNNING_NAME
from tests.support.metered_server import MeteredServer, metered_server
from tests.support.polling import becomes_true
from tests.telemetry.observability_files import RULES, expressions

pytestmark = pytest.mark.long

CALLS = 7
SCRAPE_SECONDS = 1


class Prometheus:
    """Queries a Prometheus server over its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=10) as answer:  # noqa: S310  # our own
            return json.load(answer)["data"]

    def value(self, expression: str) -> float:
        """What a query that has one result or none gives; 0 for none."""
        result = self.get("/api/v1/query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def up(self) -> bool:
        try:
            return self.value("up") == 1
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def prometheus(folder: Path, observed: MeteredServer) -> Iterator[Prometheus]:
    target = urllib.parse.urlsplit(observed.metrics_url).netloc
    config = folder / "prometheus.yml"
    job = {"job_name": "taskgate", "static_configs": [{"targets": [target]}]}
    interval = f"{SCRAPE_SECONDS}s"
    whole = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(RULES)],
        "scrape_configs": [job],
    }
    config.write_text(yaml.safe_dump(whole))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with Emulator() as aws, metered_server(aws.endpoint_url) as observed:
        with connect(observed.address) as caller:
            for _ in range(CALLS):
                caller.get_task(RUNNING_NAME)
            with pytest.raises(CallError) as refused:
                caller.get_task("omics/runs/1/tasks/2")
            assert refused.value.code is grpc.StatusCode.NOT_FOUND
        with prometheus(folder, observed) as seen:
            assert becomes_true(seen.up, 30), (folder / "log").read_text()
            yield seen


if shutil.which("prometheus"):  # which .ci/run installs

    def test_it_counts_what_was_called(scraped: Prometheus) -> None:
        query = 'sum(taskgate_rpcs_total{method="taskgate.v1.TaskService/GetTask",code="%s"})'
        assert scraped.value(query % "OK") == CALLS
        assert scraped.value(query % "NOT_FOUND") == 1

    @pytest.mark.parametrize("expression", expressions())
    def test_it_runs_every_query_of_dashboard_and_alerts(
        scraped: Prometheus, expression: str
    ) -> None:
        runnable = re.sub(
            r"\$(instance|target)\b", ".*", expression.replace("$__rate_interval", "1m")
        )
        assert "$" not in runnable
        scraped.get("/api/v1/query", query=runnable)

    def test_it_watches_for_every_alert(scraped: Prometheus) -> None:
        def healthy() -> bool:
            return [rule["health"] for rule in rules()] == ["ok"] * len(rules())

        def rules() -> list[dict[str, Any]]:
            groups: list[dict[str, Any]] = scraped.get("/api/v1/rules")["groups"]
            return [rule for group in groups for rule in group["rules"]]

        assert becomes_true(healthy, 30), rules()
        names = [rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
        assert [rule["name"] for rule in rules()] == names
