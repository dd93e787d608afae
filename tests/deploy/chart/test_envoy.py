"""The chart's Envoy is that of docs/operations.md but for what the chart adds to it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from taskgate_client.parents import PARENT_KEY
from tests.deploy.chart.rendered import ROOT, committed

PRODUCTION = committed("production")


@pytest.fixture
def chart() -> Any:
    return yaml.safe_load(PRODUCTION.get("ConfigMap", "taskgate-envoy")["data"]["envoy.yaml"])


@pytest.fixture
def tested() -> Any:
    return yaml.safe_load((ROOT / "deploy/envoy/envoy.yaml").read_text())


def route(config: Any) -> Any:
    (route,) = filters(config)["route_config"]["virtual_hosts"][0]["routes"]
    return route["route"]


def filters(config: Any) -> Any:
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    return chain["filters"][0]["typed_config"]


def test_other_settings_equal_the_tested_envoy_configuration(chart: Any, tested: Any) -> None:
    """tests/lifecycle has restarted three replicas behind the other one."""
    (cluster,) = chart["static_resources"]["clusters"]
    (expected,) = copy.deepcopy(tested)["static_resources"]["clusters"]
    assert cluster.pop("transport_socket")
    assert cluster.pop("dns_refresh_rate") == "2s"
    assert cluster.pop("load_assignment")
    del expected["load_assignment"]
    assert cluster == expected | {"type": "STRICT_DNS", "lb_policy": "RING_HASH"}
    hashed = route(chart).pop("hash_policy")
    assert hashed == [{"header": {"header_name": PARENT_KEY}}]
    assert filters(chart) == filters(tested)


def test_the_address_is_the_headless_service(chart: Any) -> None:
    (cluster,) = chart["static_resources"]["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    service = PRODUCTION.get("Service", "taskgate-headless")
    metadata = service["metadata"]
    assert address["address"] == f"{metadata['name']}.{metadata['namespace']}.svc"
    assert address["port_value"] in [port["port"] for port in service["spec"]["ports"]]


def test_the_certificate_is_for_both_names(chart: Any) -> None:
    (certificate,) = PRODUCTION.of("Certificate")
    names = certificate["spec"]["dnsNames"]
    upstream = chart["static_resources"]["clusters"][0]["transport_socket"]["typed_config"]
    assert upstream["sni"] in names
    assert "taskgate-envoy.taskgate.svc" in names
    secrets = {
        volume["secret"]["secretName"]
        for deployment in ("taskgate", "taskgate-envoy")
        for volume in PRODUCTION.pod(deployment)["volumes"]
        if "secret" in volume
    }
    assert secrets == {certificate["spec"]["secretName"]}


def test_envoy_ports_and_probes_match(chart: Any) -> None:
    container = PRODUCTION.container("envoy", "taskgate-envoy")
    listeners = {
        each["name"]: each["address"]["socket_address"]["port_value"]
        for each in chart["static_resources"]["listeners"]
    }
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": listeners["callers"], "health": listeners["health"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "health"


def test_envoy_waits_before_it_stops() -> None:
    container = PRODUCTION.container("envoy", "taskgate-envoy")
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause < PRODUCTION.pod("taskgate-envoy")["terminationGracePeriodSeconds"]
