"""What Helm makes of the chart: it lints, renders every branch, and refuses what does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from taskgate_server import tls
from taskgate_server.config import PLAINTEXT_PHRASE, load_settings
from tests.deploy.chart.helm import NAMESPACE, needs_helm, rendered, run, setting, template, values
from tests.deploy.chart.rendered import CHART, NAMES, ROOT, Manifests

pytestmark = [pytest.mark.chart, needs_helm]

EVERYTHING = Path(__file__).with_name("values-everything.yaml")
FILES = [*(values(name) for name in NAMES), EVERYTHING]
MINIMAL, PRODUCTION, SANDBOX = (values(name) for name in NAMES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_chart_lints(file: Path) -> None:
    run("lint", "--strict", CHART, "--values", file)


def test_generated_files_are_up_to_date() -> None:
    command = [sys.executable, "-m", "deploy.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_packed_chart_is_the_same(tmp_path: Path) -> None:
    """The alerts are a link to where they are; a package has them itself."""
    run("package", CHART, "--destination", tmp_path)
    (package,) = tmp_path.glob("*.tgz")
    assert template("-f", PRODUCTION, chart=package) == template("-f", PRODUCTION)


REFUSED = {
    "neither TLS nor plaintext": ([], "TLS is not configured"),
    "TLS and plaintext": (
        ["-f", MINIMAL, *setting(f"settings.plaintext_to_everyone={PLAINTEXT_PHRASE}")],
        "exclude each other",
    ),
    "TLS without callers": (
        setting("tls.secretName=tls"),
        "TLS alone does not authenticate callers",
    ),
    "a client CA without TLS": (
        ["-f", SANDBOX, *setting("tls.clientCa.secretName=ca")],
        "tls.clientCa requires TLS",
    ),
    "no issuer": (
        [*setting("tls.certManager.enabled=true", "tls.clientCa.secretName=ca")],
        "issuerRef is missing",
    ),
    "a ConfigMap without keys": (
        ["-f", MINIMAL, *setting("access.existingConfigMap=policies")],
        "requires its keys",
    ),
    "certificates behind Envoy": (
        ["-f", MINIMAL, *setting("envoy.enabled=true")],
        "envoy terminates TLS",
    ),
    "a drain shorter than health checks": (
        ["-f", PRODUCTION, *setting("settings.drain_grace_seconds=2")],
        "must be more than 2",
    ),
    "two emulators": (["-f", SANDBOX, *setting("replicas=2")], "requires a single pod"),
    "an autoscaled emulator": (
        ["-f", SANDBOX, *setting("autoscaling.enabled=true")],
        "requires a single pod",
    ),
    "no allowed callers": (
        ["-f", MINIMAL, *setting("networkPolicy.callers=null")],
        "networkPolicy.callers is empty",
    ),
    "no allowed Prometheus": (
        ["-f", PRODUCTION, *setting("networkPolicy.prometheus=null")],
        "networkPolicy.prometheus is empty",
    ),
    "a route without a Gateway": (
        ["-f", SANDBOX, *setting("gateway.enabled=true")],
        "name the Gateway",
    ),
    "a console without HTTP": (
        ["-f", MINIMAL, *setting("console.enabled=true")],
        "set http.enabled",
    ),
    "no allowed callers over HTTP": (
        ["-f", MINIMAL, *setting("http.enabled=true")],
        "networkPolicy.httpCallers is empty",
    ),
    "alerts without metrics": (["-f", SANDBOX, *setting("metrics.rules=true")], "metrics.enabled"),
    "an unknown value": (["-f", SANDBOX, *setting("replica=2")], "replica"),
    "an unknown setting": (["-f", SANDBOX, *setting("settings.log_levle=INFO")], "log_levle"),
    "a setting that the chart sets": (
        ["-f", SANDBOX, *setting("settings.listen_port=1")],
        "listen_port",
    ),
    "a console by its setting": (
        ["-f", SANDBOX, *setting("settings.console_enabled=false")],
        "console_enabled",
    ),
    "a setting out of range": (
        ["-f", SANDBOX, *setting("settings.drain_seconds=0")],
        "drain_seconds",
    ),
    "a missing setting": (
        ["-f", SANDBOX, *setting("settings.drain_grace_seconds=null")],
        "drain_grace_seconds",
    ),
    "an unknown AWS service": (
        ["-f", SANDBOX, *setting("settings.aws.batch.region=us-west-2")],
        "batch",
    ),
    "a wrong plaintext phrase": (
        [*setting("settings.plaintext_to_everyone=true")],
        "plaintext_to_everyone",
    ),
    "an unknown mode": (["-f", MINIMAL, *setting("access.mode=write")], "mode"),
    "a short digest": (["-f", MINIMAL, *setting("image.digest=sha256:12")], "digest"),
}


def test_services_of_plugins_are_accepted_if_they_are_selected() -> None:
    table = setting("settings.aws.batch.region=us-west-2")
    assert "us-west-2" in template("-f", SANDBOX, "--set", "settings.services={batch}", *table)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_invalid_values_are_rejected_with_a_reason(case: tuple[list[str | Path], str]) -> None:
    arguments, words = case
    assert words in template(*arguments, fails=True)


def checksum(manifests: Manifests) -> str:
    template = manifests.get("Deployment", "taskgate")["spec"]["template"]
    return str(template["metadata"]["annotations"]["checksum/settings"])


def test_changed_settings_roll_pods_and_changed_policies_do_not() -> None:
    before = rendered("-f", PRODUCTION)
    assert checksum(before) != checksum(
        rendered("-f", PRODUCTION, *setting("settings.log_level=DEBUG"))
    )
    policy = rendered("-f", PRODUCTION, *setting(r"access.policies.studio\.cedar=forbid"))
    assert checksum(policy) == checksum(before)
    assert policy.get("ConfigMap", "taskgate-policy")["data"] == {"studio.cedar": "forbid"}


@pytest.mark.parametrize("mode", ["read-only", "operate", "full"])
def test_a_mode_is_the_policy_of_its_name(mode: str) -> None:
    manifests = rendered("-f", MINIMAL, *setting(f"access.mode={mode}"))
    policy = manifests.get("ConfigMap", "taskgate-policy")["data"]
    file = CHART / f"files/access/{mode}.cedar"
    assert policy == {file.name: file.read_text()}
    assert manifests.settings()["policy_files"] == [f"/etc/taskgate/policy/{file.name}"]


def test_all_values_together_render(tmp_path: Path) -> None:
    manifests = rendered("-f", EVERYTHING, name="farm")
    pod = manifests.pod("farm-gate")
    container = manifests.container(deployment="farm-gate")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "grpc": 50051,
        "health": 50052,
        "http": 8080,
        "metrics": 9464,
        "metrics-1": 9465,
        "metrics-2": 9466,
    }
    assert pod["terminationGracePeriodSeconds"] == 43  # 2.5 and 30.2 and 10, rounded up
    assert container["image"] == "registry.example/taskgate:1.2.3"
    assert "replicas" not in manifests.get("Deployment", "farm-gate")["spec"]
    (monitor,) = manifests.of("PodMonitor")
    endpoints = [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]]
    assert endpoints == ["metrics", "metrics-1", "metrics-2"]
    assert manifests.of("ServiceMonitor") == []
    (account,) = manifests.of("ServiceAccount")
    assert account["metadata"]["name"] == pod["serviceAccountName"] == "gatekeeper"
    assert [each["metadata"]["name"] for each in manifests.of("ConfigMap")] == [
        "farm-gate-settings"
    ]
    file = tmp_path / "settings.toml"
    (config,) = manifests.of("ConfigMap")
    file.write_text(config["data"]["settings.toml"])
    settings = load_settings(file)
    assert tls.find_faults(settings) == []
    assert [path.name for path in settings.policy_files] == ["a.cedar", "b.cedar"]
    assert str(settings.tls_client_ca_file) == "/etc/taskgate/client-ca/callers.pem"
    assert settings.targets["lab"].aws["omics"].region == "us-east-1"
    assert settings.aws["deadline"].request_rates == {"GetLogEvents": 25}


def test_http_has_a_port_in_the_service_and_its_own_callers() -> None:
    manifests = rendered("-f", EVERYTHING, name="farm")
    service = manifests.get("Service", "farm-gate")["spec"]
    (port,) = (each for each in service["ports"] if each["name"] == "http")
    assert (port["port"], port["targetPort"], port["appProtocol"]) == (443, "http", "https")
    (policy,) = manifests.of("NetworkPolicy")
    rules = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    assert rules["http"] == [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}]
    assert rules["grpc"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


def test_http_is_off_by_default() -> None:
    manifests = rendered("-f", MINIMAL)
    assert manifests.settings().keys() & {"http_port", "console_enabled"} == set()
    names = {port["name"] for port in manifests.container()["ports"]}
    assert names == {"grpc", "health"}


def test_http_without_the_console() -> None:
    http = setting("http.enabled=true", "networkPolicy.httpCallers[0].podSelector.matchLabels.a=b")
    settings = rendered("-f", MINIMAL, *http).settings()
    assert (settings["http_port"], settings["console_enabled"]) == (8080, False)
    # With TLS and certificates, every host name may be used: nothing to allow.
    assert "http_allowed_origins" not in settings


@pytest.mark.parametrize("file", [SANDBOX, MINIMAL, PRODUCTION, EVERYTHING], ids=lambda f: f.stem)
def test_no_network_rule_admits_everyone(file: Path) -> None:
    """In a NetworkPolicy a rule without `from`, or with an empty one, is for every address."""
    policies = rendered("-f", file).of("NetworkPolicy")
    assert policies
    rules = [rule for policy in policies for rule in policy["spec"]["ingress"]]
    assert all(rule.get("from") for rule in rules)


def test_without_a_network_policy_no_callers_are_needed() -> None:
    off = setting("networkPolicy.enabled=false", "networkPolicy.callers=null")
    assert rendered("-f", MINIMAL, *off).of("NetworkPolicy") == []


def test_names_are_valid_in_kubernetes() -> None:
    manifests = rendered("-f", PRODUCTION, name="r" * 53)
    names = [each["metadata"]["name"] for each in manifests.objects]
    assert max(map(len, names)) <= 63


def test_alerts_are_those_of_the_rules_file() -> None:
    (rule,) = rendered("-f", PRODUCTION).of("PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/observability/rules.yml").read_text())


def test_irsa_is_an_annotation_and_pod_identity_needs_none() -> None:
    (account,) = rendered("-f", MINIMAL).of("ServiceAccount")
    assert "annotations" not in account["metadata"]
    account = rendered("-f", PRODUCTION).get("ServiceAccount", "taskgate")
    role = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert role == "arn:aws:iam::111122223333:role/Taskgate"


NOTES = {
    SANDBOX: ["taskgate list omics/runs/4721906", "PLAINTEXT: anyone", "and make any"],
    MINIMAL: ['certificate="tls.crt"', 'server_name="taskgate.taskgate.svc"', "Pod Identity"],
    PRODUCTION: ["service/taskgate-envoy 50051:50051", "token=YOUR_TOKEN"],
}


@pytest.mark.parametrize("file", NOTES, ids=lambda file: file.stem)
def test_notes_have_the_next_commands(file: Path) -> None:
    place = ("--namespace", NAMESPACE, "--dry-run=client")
    said = run("install", "taskgate", CHART, *place, "-f", file).partition("NOTES:")[2]
    for words in NOTES[file]:
        assert words in said
    assert ("AWS credentials: no role" in said) == (file == MINIMAL)


def test_helm_test_checks_health() -> None:
    (pod,) = rendered("-f", PRODUCTION).of("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["args"][:3] == ["health", "--address", "taskgate-headless.taskgate.svc:50052"]
