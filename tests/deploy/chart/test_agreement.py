"""The chart and the server mean the same: settings, ports, probes, names, time to stop."""

from __future__ import annotations

import json
import re
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.generate import settings_schema
from taskgate_server import tls
from taskgate_server.auth.policy import Policy
from taskgate_server.config import PLAINTEXT_PHRASE, Settings, load_settings
from taskgate_server.health import LIVE
from taskgate_server.shutdown import drain_grace_seconds
from tests.deploy.chart.rendered import CHART, NAMES, ROOT, Manifests, committed

DOCKERFILE = (ROOT / "Dockerfile").read_text()
HTTP_PORT = 8080
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.fixture(params=NAMES)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return committed(request.param)


@pytest.fixture
def settings(manifests: Manifests, tmp_path: Path) -> Settings:
    """As the server reads them."""
    file = tmp_path / "settings.toml"
    file.write_text(manifests.get("ConfigMap", "taskgate-settings")["data"]["settings.toml"])
    return load_settings(file)


def ports(container: dict[str, Any]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def test_the_server_accepts_the_settings(settings: Settings) -> None:
    assert tls.find_faults(settings) == []


def test_container_ports_are_those_of_the_settings(
    manifests: Manifests, settings: Settings
) -> None:
    expected = {"grpc": settings.listen_port, "health": settings.health_port}
    if settings.http_port is not None:
        expected["http"] = settings.http_port
    if settings.admin_port is not None:
        expected["metrics"] = settings.admin_port
    assert ports(manifests.container()) == expected
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert manifests.container()[probe]["grpc"]["port"] == settings.health_port


def test_services_select_the_container_ports(manifests: Manifests) -> None:
    names = set(ports(manifests.container()))
    headless = manifests.get("Service", "taskgate-headless")["spec"]
    assert headless["clusterIP"] == "None"
    assert {port["targetPort"] for port in headless["ports"]} == names - {"http"}
    served = manifests.get("Service", "taskgate")["spec"]["ports"]
    assert {port["targetPort"] for port in served} == names & {"grpc", "http"}


def test_the_image_has_the_same_ports_and_user(manifests: Manifests) -> None:
    (line,) = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    exposed = {int(port) for port in line.split()}
    used = ports(manifests.container())
    assert exposed == {used["grpc"], used["health"], used.get("http", HTTP_PORT)}
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    security = manifests.pod()["securityContext"]
    assert user == (str(security["runAsUser"]), str(security["runAsGroup"]))


def test_probes_use_health_names_of_the_server(manifests: Manifests) -> None:
    container = manifests.container()
    assert container["livenessProbe"]["grpc"]["service"] == LIVE
    # A server that AWS does not let in is started anew for nothing: it never gets ready by that.
    assert container["startupProbe"]["grpc"]["service"] == LIVE
    assert "service" not in container["readinessProbe"]["grpc"]


def test_the_grace_period_covers_the_drain(manifests: Manifests, settings: Settings) -> None:
    drain = drain_grace_seconds(settings) + settings.drain_seconds
    server = manifests.get("Deployment", "taskgate")["spec"]
    if server.get("replicas") != 1:  # with autoscaling there is no number
        assert server["minReadySeconds"] > drain_grace_seconds(settings)
    given = manifests.pod()["terminationGracePeriodSeconds"]
    assert given == ceil(drain + VALUES["terminationMarginSeconds"])
    # supervisor.py: workers that have not stopped so long after it are killed.
    assert given > drain + 5
    assert "lifecycle" not in manifests.container()


def test_the_default_settings_are_the_servers_own() -> None:
    server = Settings(listen_host="0.0.0.0")  # noqa: S104  # as in a pod
    values = VALUES["settings"]
    assert values.pop("drain_grace_seconds") == drain_grace_seconds(server)
    assert values.pop("drain_seconds") == server.drain_seconds
    assert values == {}


def test_a_pod_is_restricted(manifests: Manifests) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    for deployment in manifests.of("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
        kinds = {"configMap", "emptyDir", "secret"}
        assert all(set(each) - {"name"} <= kinds for each in pod["volumes"])
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}


def test_mounts_match_the_files_of_the_settings(manifests: Manifests) -> None:
    mounts = [mount["mountPath"] for mount in manifests.container()["volumeMounts"]]
    named = [
        value
        for key, value in manifests.settings().items()
        if key.endswith("_file") or key == "policy_files"
    ]
    files = [path for value in named for path in ([value] if isinstance(value, str) else value)]
    for path in [*files, manifests.container()["args"][-1]]:
        assert any(path.startswith(f"{mount}/") for mount in mounts), path


def test_the_policy_of_each_mode_is_valid() -> None:
    modes = {path.stem for path in (CHART / "files/access").glob("*.cedar")}
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert modes == set(schema["properties"]["access"]["properties"]["mode"]["enum"])
    for path in (CHART / "files/access").glob("*.cedar"):
        Policy([(path.name, path.read_text())])


def test_policies_in_the_manifests_are_valid() -> None:
    for name in ("minimal", "production"):
        Policy(committed(name).get("ConfigMap", "taskgate-policy")["data"].items())


def test_the_schema_has_the_servers_settings() -> None:
    for path, text in settings_schema.generate(ROOT).items():
        assert path.read_text() == text, "make chart writes it anew"


def test_the_schema_has_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert_known(VALUES, schema, schema["$defs"])
    for path in CHART.glob("values-*.yaml"):
        assert_known(yaml.safe_load(path.read_text()), schema, schema["$defs"])


def assert_known(values: dict[str, Any], schema: dict[str, Any], definitions: Any) -> None:
    """Each key is in the schema, and tables of the chart's own take no other."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("additionalProperties") is not False:
        return
    for key, value in values.items():
        assert key in schema["properties"]
        if isinstance(value, dict):
            assert_known(value, schema["properties"][key], definitions)


def test_the_sandbox_has_the_plaintext_phrase_of_the_server() -> None:
    assert committed("sandbox").settings()["plaintext_to_everyone"] == PLAINTEXT_PHRASE


def test_the_sandbox_calls_its_emulator() -> None:
    sandbox = committed("sandbox")
    args = dict(
        arg.removeprefix("--").split("=") for arg in sandbox.container("emulator")["args"][1:]
    )
    url = f"http://{args['host']}:{args['port']}"
    for service in sandbox.settings()["aws"].values():
        assert (service["endpoint_url"], service["logs_endpoint_url"]) == (url, url)
