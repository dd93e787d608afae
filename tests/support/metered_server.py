"""A server with an admin port, and its metrics."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.running_server import running_app, settings_for

METRIC_PREFIX = "taskgate_"


@dataclass(frozen=True)
class MeteredServer:
    """The addresses of a server and of its metrics."""

    address: str
    metrics_url: str

    def text(self) -> str:
        with urllib.request.urlopen(self.metrics_url, timeout=10) as response:  # noqa: S310  # our own
            text: str = response.read().decode()
        return text

    def families(self) -> dict[str, Metric]:
        return {each.name: each for each in text_string_to_metric_families(self.text())}

    def value(self, sample: str, **labels: str) -> float:
        """Return the sum of all samples of a name that have these labels, among others."""
        return sum(
            each.value
            for family in self.families().values()
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        )


@contextmanager
def metered_server(endpoint_url: str, **more: object) -> Iterator[MeteredServer]:
    settings = settings_for(endpoint_url, admin_port=0, **more)
    with running_app(settings) as (app, address):
        assert app.admin is not None
        yield MeteredServer(str(address), f"http://127.0.0.1:{app.admin.port}/metrics")
