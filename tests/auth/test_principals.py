"""The holder that a client certificate names, and how it differs from other principals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc import StatusCode

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_server import errors
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.authentication import ANONYMOUS, Caller, Callers
from taskgate_server.auth.policy import PRINCIPALS, Policy
from taskgate_server.auth.resources import named_path
from taskgate_server.ports import Address
from tests.support.authority import LOOPBACK, Authority
from tests.support.call_errors import error_info
from tests.support.demo_names import RUNNING
from tests.support.running_server import running_server, settings_for

SECONDS = 10.0
RENDER, OTHER = "spiffe://studio.example/render", "spiffe://studio.example/other"
ACCOUNT = "system:serviceaccount:render:submitter"
POLICY = f"""
permit (principal == Certificate::"{RENDER}", action in Action::"read", resource);
permit (principal == Service::"{ACCOUNT}", action in Action::"read", resource);
permit (principal == User::"{ACCOUNT}", action in Action::"read", resource);
"""

READ = action_of("taskgate.v1.TaskService/GetTask")
TASK = named_path("deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t")


class Wire:
    """A connection with a certificate, as gRPC reports it."""

    def __init__(self, **properties: list[bytes]) -> None:
        self._properties = properties

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return []

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._properties

    def peer(self) -> str:
        raise AssertionError("not needed")


async def found(**properties: list[bytes]) -> Caller:
    return await Callers(None, certificates=True).verify(Wire(**properties))


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"peer_spiffe_id": [b"spiffe://a/b"], "peer_uri": [b"spiffe://a/b"]}, "spiffe://a/b"),
        ({"peer_uri": [b"https://a"], "peer_dns": [b"b"]}, "https://a"),
        ({"peer_uri": [b"https://a", b"https://b"]}, "https://a"),
        ({"peer_dns": [b"b"], "x509_common_name": [b"c"]}, "b"),
        ({"x509_common_name": ["ü".encode()]}, "ü"),
        ({"x509_common_name": [b"n" * 256]}, "n" * 256),
    ],
)
async def test_a_certificate_names_its_holder(
    properties: dict[str, list[bytes]], name: str
) -> None:
    assert await found(**properties) == Caller("Certificate", name)


async def test_certificate_holder_needs_no_verification_after_the_handshake() -> None:
    callers = Callers(None, certificates=True)
    wire = Wire(x509_pem_cert=[b"a"], x509_common_name=[b"render"])
    assert (
        await callers.verify(wire) == callers.find_verified(wire) == Caller("Certificate", "render")
    )
    assert Callers(None, certificates=False).find_verified(wire) is ANONYMOUS


@pytest.mark.parametrize("properties", [{}, {"x509_common_name": [b""]}])
async def test_certificate_without_a_name_is_anonymous(properties: dict[str, Any]) -> None:
    assert await found(**properties) is ANONYMOUS


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"peer_uri": [RENDER.encode(), OTHER.encode()]}, "several URIs"),
        ({"peer_uri": [b"https://a", b"SPIFFE://a/b"]}, "several URIs"),
        ({"x509_common_name": [b"n" * 257]}, "more than 256 characters"),
        ({"x509_common_name": [b"alice\nbob"]}, "control characters"),
        ({"peer_dns": [b"alice\x00.example"]}, "control characters"),
        ({"x509_common_name": ["alice\u202ebob".encode()]}, "control characters"),
        ({"x509_common_name": [b"\xff"]}, "UTF-8"),
    ],
)
async def test_an_ambiguous_name_is_rejected(
    properties: dict[str, list[bytes]], words: str
) -> None:
    callers = Callers(None, certificates=True)
    for _ in range(2):  # the second time, too
        with pytest.raises(errors.TaskgateError, match=words) as caught:
            await callers.verify(Wire(x509_pem_cert=[b"same"], **properties))
        assert callers.find_verified(Wire(x509_pem_cert=[b"same"], **properties)) is None
        assert caught.value.code is StatusCode.UNAUTHENTICATED
        assert caught.value.reason == "CERTIFICATE_INVALID"


def test_policy_distinguishes_principal_types_with_the_same_name() -> None:
    for kind in PRINCIPALS:
        policy = Policy([("test", f'permit (principal == {kind}::"x", action, resource);')])
        allowed = [each for each in PRINCIPALS if policy.allows(Caller(each, "x"), READ, TASK)]
        assert allowed == [kind]


# --- Over the wire --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def address(
    aws: Emulator, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Address]:
    folder: Path = tmp_path_factory.mktemp("principals")
    certificate, key = authority.issue("server", *LOOPBACK).write(folder)
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "policy.cedar").write_text(POLICY)
    settings = settings_for(
        aws.endpoint_url,
        tls_certificate_file=certificate,
        tls_key_file=key,
        tls_client_ca_file=folder / "ca.crt",
        policy_files=[folder / "policy.cedar"],
    )
    with running_server(settings) as address:
        yield address


def refused(
    address: Address, authority: Authority, common_name: str, *uris: str
) -> tuple[StatusCode, str] | None:
    """Return code and reason of a read by the holder of a certificate; None if it is allowed."""
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    client = authority.issue(common_name, *names)
    credentials = grpc.ssl_channel_credentials(
        authority.certificate, client.key, client.certificate
    )
    own = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.secure_channel(str(address), credentials, options=own) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        try:
            stub.GetTask(task_service_pb2.GetTaskRequest(name=RUNNING), timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code(), error_info(error).reason
    return None


def test_one_spiffe_id_is_accepted(address: Address, authority: Authority) -> None:
    assert refused(address, authority, "x", RENDER) is None


@pytest.mark.parametrize("uris", [(RENDER, OTHER), (RENDER, "https://studio.example")])
def test_two_uris_with_a_spiffe_id_are_rejected(
    address: Address, authority: Authority, uris: tuple[str, ...]
) -> None:
    # The first one would be allowed.
    expected = StatusCode.UNAUTHENTICATED, "CERTIFICATE_INVALID"
    assert refused(address, authority, "x", *uris) == expected
    assert refused(address, authority, "x", *reversed(uris)) == expected


def test_a_certificate_with_the_name_of_a_service_account_is_not_the_account(
    address: Address, authority: Authority
) -> None:
    expected = StatusCode.PERMISSION_DENIED, "POLICY_DENIED"
    assert refused(address, authority, ACCOUNT) == expected
