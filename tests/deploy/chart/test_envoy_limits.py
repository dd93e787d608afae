"""The chart's Envoy protects itself: a real one, with its limits lowered, and no replica behind."""

from __future__ import annotations

import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RemoteSettingsChanged
from h2.settings import SettingCodes

from tests.deploy.chart.rendered import ROOT, committed
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.replicas import ENVOY

pytestmark = [pytest.mark.chart, pytest.mark.alone]

CONNECTIONS = 3


def config(callers: int, health: int, admin: int, heap: int | None = None) -> Any:
    """The chart's configuration on loopback, in plaintext, with few connections."""
    text = committed("production").get("ConfigMap", "taskgate-envoy")["data"]["envoy.yaml"]
    made: Any = yaml.safe_load(text)
    made["admin"]["address"]["socket_address"]["port_value"] = admin
    ports = {"callers": callers, "health": health}
    for listener in made["static_resources"]["listeners"]:
        listener["address"]["socket_address"] = {
            "address": "127.0.0.1",
            "port_value": ports[listener["name"]],
        }
        for chain in listener["filter_chains"]:
            chain.pop("transport_socket", None)
    (cluster,) = made["static_resources"]["clusters"]
    cluster.pop("transport_socket")
    monitors = made["overload_manager"]["resource_monitors"]
    (limit,) = (each for each in monitors if each["name"].endswith("max_connections"))
    limit["typed_config"]["max_active_downstream_connections"] = CONNECTIONS
    if heap is not None:
        monitors[0]["typed_config"]["max_heap_size_bytes"] = heap
    return made


@contextmanager
def envoy(folder: Path, heap: int | None = None) -> Iterator[tuple[int, int]]:
    """A running one: the ports for callers and for health."""
    callers, health, admin = free_ports(3)
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(config(callers, health, admin, heap)))
    assert ENVOY.exists(), "make .venv-tools/envoy/stamp installs Envoy"
    options = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
    command = [ENVOY, "-c", file, *options]
    process = subprocess.Popen([*map(str, command)])
    try:
        wait_until(lambda: status(health) == 200)
        yield callers, health
    finally:
        process.kill()
        process.wait()


def status(port: int) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def settings(connection: socket.socket) -> dict[int, int] | None:
    """The HTTP/2 settings that Envoy sends; None for a connection that it does not serve."""
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    try:
        connection.sendall(client.data_to_send())
        while data := connection.recv(65536):
            for event in client.receive_data(data):
                if isinstance(event, RemoteSettingsChanged):
                    return {code: each.new_value for code, each in event.changed_settings.items()}
    except (ConnectionError, TimeoutError):
        pass
    return None


def test_connections_and_streams_have_limits(tmp_path: Path) -> None:
    with envoy(tmp_path) as (callers, health), ExitStack() as stack:

        def connect() -> socket.socket:
            place = ("127.0.0.1", callers)
            return stack.enter_context(socket.create_connection(place, timeout=10))

        first = [settings(connect()) for _ in range(CONNECTIONS)]
        assert all(
            each is not None and each[SettingCodes.MAX_CONCURRENT_STREAMS] == 2000 for each in first
        )
        more = [settings(connect()) for _ in range(CONNECTIONS)]
        assert more[1:] == [None] * (CONNECTIONS - 1), "Envoy takes one more than its limit"
        assert status(health) == 200, "probes do not count"


def test_envoy_refuses_callers_and_survives_when_its_heap_is_full(tmp_path: Path) -> None:
    with envoy(tmp_path, heap=1_000_000) as (callers, health):

        def refuses() -> bool:
            with socket.create_connection(("127.0.0.1", callers), timeout=1) as connection:
                return settings(connection) is None

        wait_until(refuses)  # it measures four times a second
        assert status(health) == 200


def test_the_heap_limit_is_below_the_memory_limit() -> None:
    manager = config(1, 2, 3)["overload_manager"]
    thresholds = {
        action["name"].rpartition(".")[2]: action["triggers"][0]["threshold"]["value"]
        for action in manager["actions"]
    }
    assert thresholds["shrink_heap"] < thresholds["stop_accepting_requests"]
    assert thresholds["stop_accepting_requests"] < thresholds["stop_accepting_connections"] < 1
    container = committed("production").container("envoy", "taskgate-envoy")
    heap = manager["resource_monitors"][0]["typed_config"]["max_heap_size_bytes"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 1024 * 1024
    assert heap < limit


def test_both_configurations_have_the_same_overload_manager() -> None:
    tested = yaml.safe_load((ROOT / "deploy/envoy/envoy.yaml").read_text())
    text = committed("production").get("ConfigMap", "taskgate-envoy")["data"]["envoy.yaml"]
    assert yaml.safe_load(text)["overload_manager"] == tested["overload_manager"]
