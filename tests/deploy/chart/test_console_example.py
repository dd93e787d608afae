"""The console behind oauth2-proxy: the example is valid, and agrees with chart and server."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskgate_server import tls
from taskgate_server.config import Settings, load_settings
from tests.deploy.chart.helm import NAMESPACE, needs_helm, rendered
from tests.deploy.chart.judges import NEWEST, checkov, newest_versions, validate
from tests.deploy.chart.rendered import ROOT, Manifests, Object

pytestmark = [pytest.mark.chart, needs_helm]

FOLDER = ROOT / "deploy/examples/console"
PROXY = FOLDER / "oauth2-proxy.yaml"
CONSOLE_CALL = "/taskgate.v1.TaskService/GetTask"


@pytest.fixture(scope="module")
def proxy() -> Manifests:
    return Manifests.read(PROXY.read_text())


@pytest.fixture(scope="module")
def taskgate() -> Manifests:
    return rendered("-f", FOLDER / "values.yaml")


@pytest.fixture(scope="module")
def options(proxy: Manifests) -> dict[str, str]:
    """oauth2-proxy's options by name."""
    arguments = proxy.container("oauth2-proxy", "oauth2-proxy")["args"]
    return dict(each.removeprefix("--").split("=", 1) for each in arguments)


@pytest.fixture
def settings(taskgate: Manifests, tmp_path: Path) -> Settings:
    file = tmp_path / "settings.toml"
    file.write_text(taskgate.get("ConfigMap", "taskgate-settings")["data"]["settings.toml"])
    return load_settings(file)


@pytest.mark.parametrize("version", range(NEWEST), ids=["third", "second", "newest"])
def test_kubernetes_accepts_every_field(version: int) -> None:
    assert validate(newest_versions()[version], PROXY) == []


def test_checkov_finds_nothing() -> None:
    assert checkov([PROXY], "kubernetes") == set()


def test_the_server_accepts_the_settings(settings: Settings) -> None:
    assert tls.find_faults(settings) == []
    assert settings.console_enabled
    # Pages of the console have the proxy's host name, which the proxy passes on.
    assert settings.http_allowed_origins == ()
    # The proxy has no client certificate.
    assert settings.tls_client_ca_file is None


def test_tokens_of_the_proxy_are_for_the_server(
    options: dict[str, str], settings: Settings
) -> None:
    """The audience of an ID token is the client's id (OpenID Connect Core, section 2)."""
    assert options["pass-authorization-header"] == "true"
    assert options["oidc-issuer-url"] == settings.jwt_issuer
    assert options["client-id"] == settings.jwt_audience


def test_the_proxy_calls_the_http_port(options: dict[str, str], taskgate: Manifests) -> None:
    upstream = urlsplit(options["upstream"])
    ports = taskgate.get("Service", "taskgate")["spec"]["ports"]
    assert upstream.port in [each["port"] for each in ports if each["name"] == "http"]
    (certificate,) = taskgate.of("Certificate")
    assert (upstream.scheme, upstream.hostname) == ("https", f"taskgate.{NAMESPACE}.svc")
    assert upstream.hostname in certificate["spec"]["dnsNames"]


def test_the_proxy_reads_the_authority_of_the_certificate(
    proxy: Manifests, taskgate: Manifests
) -> None:
    (certificate,) = taskgate.of("Certificate")
    volumes = {each["name"]: each["secret"] for each in proxy.pod("oauth2-proxy")["volumes"]}
    assert volumes["authority"] == {
        "secretName": certificate["spec"]["secretName"],
        "items": [{"key": "ca.crt", "path": "ca.crt"}],  # not the key
    }
    container = proxy.container("oauth2-proxy", "oauth2-proxy")
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert {"name": "SSL_CERT_DIR", "value": mounts["authority"]} in container["env"]


def test_files_of_the_proxy_are_mounted(options: dict[str, str]) -> None:
    files = {name: path for name, path in options.items() if name.endswith("-file")}
    assert files == {
        f"{name}-file": f"/etc/oauth2-proxy/{name}" for name in ("client-secret", "cookie-secret")
    }
    # The command that creates the Secret is in the comment.
    assert all(f"--from-literal={Path(path).name}=" in PROXY.read_text() for path in files.values())


def test_only_the_proxy_reaches_the_http_port(proxy: Manifests, taskgate: Manifests) -> None:
    (policy,) = taskgate.of("NetworkPolicy")
    (rule,) = (each for each in policy["spec"]["ingress"] if each["ports"][0]["port"] == "http")
    (peer,) = rule["from"]
    deployment: Object = proxy.get("Deployment", "oauth2-proxy")
    assert peer == {"podSelector": {"matchLabels": deployment["spec"]["selector"]["matchLabels"]}}
    assert {each["metadata"]["namespace"] for each in proxy.objects} == {NAMESPACE}


def test_the_ingress_leads_to_the_proxy(proxy: Manifests, options: dict[str, str]) -> None:
    ingress = proxy.get("Ingress", "taskgate-console")["spec"]
    (rule,) = ingress["rules"]
    assert (
        rule["host"] == urlsplit(options["redirect-url"]).hostname == ingress["tls"][0]["hosts"][0]
    )
    (path,) = rule["http"]["paths"]
    service = proxy.get("Service", path["backend"]["service"]["name"])["spec"]
    assert path["backend"]["service"]["port"]["name"] in [each["name"] for each in service["ports"]]
    pod = proxy.get("Deployment", "oauth2-proxy")["spec"]["template"]["metadata"]
    assert service["selector"] == pod["labels"]


@pytest.mark.parametrize(
    ("path", "is_call"),
    [
        (CONSOLE_CALL, True),
        ("/taskgate.omics.v1.OmicsService/ListRuns", True),
        ("/", False),
        ("/index.html", False),
        ("/js/connect.js", False),
    ],
)
def test_only_calls_fail_without_a_session(
    options: dict[str, str], path: str, *, is_call: bool
) -> None:
    """Pages are redirected to the issuer."""
    assert bool(re.search(options["api-route"], path)) is is_call
