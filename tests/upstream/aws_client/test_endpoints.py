"""Where calls go: botocore's own settings, an endpoint for each host prefix, the CA bundle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from taskgate.omics.v1 import omics_pb2
from taskgate_client import CallError, connect
from taskgate_emulator import Emulator
from taskgate_server import app
from taskgate_server.aws import model
from taskgate_server.config import AwsSettings, Settings, SettingsError
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.services.supporting import SQS
from taskgate_server.upstream.aws_client.factory import (
    AwsClient,
    make_client,
    prefix_name,
    prefix_names,
)
from taskgate_server.upstream.aws_client.failures import CaBundleError
from taskgate_server.upstream.event_queue import queue_settings
from tests.support.running_server import REGION, running_server

LOCAL = "http://127.0.0.1:9"
PRIVATE = "https://vpce-1.example:8443"


@pytest.fixture(autouse=True)
def _no_variables_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def host_of(client: AwsClient, operation: str) -> str:
    """Return the host and port that a call would be sent to."""
    sent: list[str] = []

    def respond(request: Any, **_: Any) -> AWSResponse:
        sent.append(request.url)
        return AWSResponse(request.url, 500, HTTPHeaders(), _Raw())

    events: Any = client.client.meta.events
    events.unregister("before-send", client.transport.send)
    events.register("before-send", respond)
    shape: Any = client.client.meta.service_model.operation_model(operation).input_shape
    params = value_of(shape) if shape else {}
    with pytest.raises(client.client.exceptions.ClientError):
        asyncio.run(client.call(operation, params))
    events.unregister("before-send", respond)
    return urlsplit(sent[0]).netloc


def value_of(shape: Any) -> Any:
    """Return a value that botocore can send."""
    if shape.type_name == "structure":
        return {name: value_of(shape.members[name]) for name in shape.required_members}
    values = {"string": "1", "blob": b"", "list": [], "map": {}, "boolean": True}
    return values.get(shape.type_name, 1)


class _Raw:
    def stream(self) -> Iterator[bytes]:
        yield b"{}"


ONE_OF_EACH_PREFIX = [
    pytest.param(spec, operation, prefix, id=f"{spec.name}-{prefix}")
    for spec in SERVICES
    for prefix, operation in sorted(
        {
            prefix_name(each): each.name for each in model.operations(model.load_service(spec.name))
        }.items()
    )
]


@pytest.mark.parametrize(("spec", "operation", "prefix"), ONE_OF_EACH_PREFIX)
def test_each_host_prefix_can_have_an_endpoint(
    spec: ServiceSpec, operation: str, prefix: str
) -> None:
    own = make_client(spec, AwsSettings(region=REGION))
    assert host_of(own, operation).startswith(prefix)
    private = AwsSettings(region=REGION, endpoint_urls={prefix: PRIVATE})
    assert host_of(make_client(spec, private), operation) == "vpce-1.example:8443"
    others = {other: PRIVATE for other in prefix_names(spec.name) if other != prefix}
    client = make_client(spec, AwsSettings(region=REGION, endpoint_urls=others))
    assert host_of(client, operation).startswith(prefix), "others are not affected"
    both = AwsSettings(region=REGION, endpoint_url=LOCAL, endpoint_urls=others)
    assert host_of(make_client(spec, both), operation) == "127.0.0.1:9"


def test_the_endpoint_of_the_most_common_prefix_is_probed() -> None:
    settings = AwsSettings(region=REGION, endpoint_urls={"workflows": PRIVATE})
    assert make_client(OMICS, settings).address == ("vpce-1.example", 8443)
    settings = AwsSettings(region=REGION, endpoint_urls={"tags": PRIVATE})
    assert make_client(OMICS, settings).address == (f"workflows-omics.{REGION}.amazonaws.com", 443)


def test_a_queue_has_no_host_prefixes() -> None:
    url = "https://sqs.us-west-2.amazonaws.com/1/q"
    settings = queue_settings(url, AwsSettings(endpoint_urls={"workflows": PRIVATE}))
    assert make_client(SQS, settings).endpoint == "sqs.us-west-2.amazonaws.com"
    assert not settings.endpoint_urls


def test_an_unknown_host_prefix_is_a_configuration_error() -> None:
    aws = {"omics": AwsSettings(endpoint_urls={"workflow-": LOCAL})}
    with pytest.raises(SettingsError) as raised:
        app.build(Settings(aws=aws, targets={"far": {"aws": aws}}))
    assert raised.value.faults == [
        f"{table}.omics.endpoint_urls.workflow-: unknown host prefix; known are"
        " analytics, control-storage, storage, tags, workflows"
        for table in ("aws", "targets.far.aws")
    ]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DEADLINE"])
@pytest.mark.parametrize("disabled", [True, False])
def test_the_variables_of_aws_sdks_apply(
    variable: str, disabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, LOCAL)
    if disabled:
        monkeypatch.setenv("AWS_DISABLE_HOST_PREFIX_INJECTION", "true")
    client = make_client(DEADLINE, AwsSettings(region=REGION))
    prefix = "" if disabled else "management."
    assert host_of(client, "ListFarms") == f"{prefix}127.0.0.1:9"
    assert client.address == (f"{prefix}127.0.0.1", 9)


def test_settings_override_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")
    client = make_client(DEADLINE, AwsSettings(region=REGION, endpoint_url=LOCAL))
    assert host_of(client, "ListFarms") == "127.0.0.1:9"


@contextmanager
def profile(text: str, folder: Path) -> Iterator[None]:
    file = folder / "config"
    file.write_text(text)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_CONFIG_FILE", str(file))
        environment.setenv("AWS_PROFILE", "local")
        yield


def test_a_server_calls_the_services_of_a_profile(aws: Emulator, tmp_path: Path) -> None:
    text = f"""
[profile local]
region = {REGION}
aws_access_key_id = a
aws_secret_access_key = b
services = here
disable_host_prefix_injection = true
[services here]
deadline =
  endpoint_url = {aws.endpoint_url}
omics =
  endpoint_url = {aws.endpoint_url}
"""
    with (
        profile(text, tmp_path),
        running_server(Settings(listen_port=0, drain_seconds=1)) as address,
        connect(str(address)) as client,
    ):
        called = aws.request_count
        client.omics.ListRuns(omics_pb2.ListRunsRequest())
        assert aws.request_count == called + 1


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_missing_ca_bundle_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.pem"
    monkeypatch.setenv(variable, str(missing))
    with pytest.raises(CaBundleError, match=rf"{variable}: .*missing.pem: No such file"):
        make_client(OMICS, AwsSettings(region=REGION))
    missing.write_text("no certificate")
    with pytest.raises(CaBundleError, match="no certificates in PEM"):
        make_client(OMICS, AwsSettings(region=REGION))
    make_client(OMICS, AwsSettings(region=REGION, endpoint_url=LOCAL))  # has no TLS


def test_a_missing_ca_bundle_of_a_profile_is_named(tmp_path: Path) -> None:
    with (
        profile("[profile local]\nca_bundle = /nonexistent.pem\n", tmp_path),
        pytest.raises(CaBundleError, match="ca_bundle of the AWS profile"),
    ):
        make_client(OMICS, AwsSettings(region=REGION))


def test_errors_name_the_missing_ca_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent.pem")
    settings = Settings(listen_port=0, drain_seconds=1, aws={"omics": AwsSettings(region=REGION)})
    with running_server(settings) as address, connect(str(address)) as client:
        with pytest.raises(grpc.RpcError) as raised:
            client.omics.ListRuns(omics_pb2.ListRunsRequest())
        error = CallError.of(raised.value)
        assert error.reason == "UPSTREAM_CONFIGURATION"
        assert "AWS_CA_BUNDLE" in error.message
        assert "/nonexistent" not in error.message
        services = client.get_server_info().aws_services
        assert "AWS_CA_BUNDLE" in next(
            each.not_ready_reason for each in services if each.name == "omics"
        )
