"""The HTTP exchanges of the AWS client, against servers that a test scripts and boto3 itself."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions as aws
import pytest
from botocore.config import Config

from taskgate_server.config import AwsSettings
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.aws_client import greenlets
from taskgate_server.upstream.aws_client.factory import AwsClient, make_client
from taskgate_server.upstream.aws_client.transport import MAX_ORIGINS, Transport
from tests.support.authority import LOOPBACK, Authority
from tests.support.ports import free_port
from tests.support.running_server import REGION
from tests.support.scripted_upstream import JSON, Request, always, hang, ok, scripted

CLOSE_SECONDS = 1.0
"""How soon a cancelled call closes its connection: a millisecond, unless the machine is busy."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*PROXIES, "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return iter([None])


def client_of(url: str, **more: Any) -> AwsClient:
    return make_client(DEADLINE, AwsSettings(region=REGION, endpoint_url=url, **more))


async def call(client: AwsClient) -> dict[str, Any]:
    return (await client.call("GetFarm", {"farmId": "farm-1"})).value


async def test_a_cancelled_call_closes_its_connection() -> None:
    async with scripted(hang) as upstream:
        client = client_of(upstream.url)
        task = asyncio.create_task(call(client))
        await upstream.received.wait()
        task.cancel()
        began = time.monotonic()
        await upstream.closed.wait()
        assert time.monotonic() - began < CLOSE_SECONDS
        await client.close()


async def test_calls_share_kept_connections() -> None:
    async with scripted(always(ok(b'{"farmId": "farm-1"}'))) as upstream:
        client = client_of(upstream.url)
        for _ in range(3):
            assert await call(client) == {"farmId": "farm-1"}
        assert upstream.opened == 1
        await asyncio.gather(*(call(client) for _ in range(5)))
        assert upstream.opened <= 5
        await client.close()


async def test_a_discarded_client_ends_its_calls_first() -> None:
    go = asyncio.Event()

    async def respond(_: Request) -> bytes:
        await go.wait()
        return ok()

    async with scripted(respond) as upstream:
        client = client_of(upstream.url)
        task = asyncio.create_task(call(client))
        await upstream.received.wait()
        await client.close()
        go.set()
        assert await task == {}


async def test_a_discarded_client_ends_its_downloads_first() -> None:
    async with scripted(always(JSON + b"Content-Length: 4\r\n\r\nACGT")) as upstream:
        client = make_client(OMICS, AwsSettings(region=REGION, endpoint_url=upstream.url))
        params = {"id": "1", "referenceStoreId": "2", "partNumber": 1}
        stream = (await client.call("GetReference", params)).value["payload"]
        await client.close()
        assert await greenlets.run(stream.read, 4) == b"ACGT"
        stream.close()
        await asyncio.wait_for(upstream.closed.wait(), 5)


async def test_redirects_are_not_followed() -> None:
    head = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\n{}"
    async with scripted(always(head)) as upstream:
        client = client_of(upstream.url)
        with pytest.raises(aws.ClientError):
            await call(client)
        assert len(upstream.requests) == 1
        await client.close()


async def test_a_call_is_not_repeated_when_a_kept_connection_breaks() -> None:
    responses = [ok(), b""]

    async def respond(_: Request) -> bytes:
        return responses.pop(0)

    async with scripted(respond) as upstream:
        client = client_of(upstream.url)
        await call(client)
        with pytest.raises(aws.ConnectionClosedError):
            await call(client)
        assert [request.connection for request in upstream.requests] == [0, 0]
        await client.close()


async def test_interim_responses_are_skipped() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with scripted(always(early + ok(b'{"farmId": "farm-1"}'))) as upstream:
        client = client_of(upstream.url)
        assert await call(client) == {"farmId": "farm-1"}
        assert await call(client) == {"farmId": "farm-1"}
        await client.close()


FAILURES = [
    (b"", aws.ConnectionClosedError),
    (b"garbage\r\n\r\n", aws.ConnectionClosedError),
    (JSON + b"Content-Length: 10\r\n\r\n{}", aws.ResponseStreamingError),
    (JSON + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}", aws.ResponseStreamingError),
]


@pytest.mark.parametrize(("response", "error"), FAILURES)
async def test_failures_have_the_errors_of_botocore(
    response: bytes, error: type[Exception]
) -> None:
    responses = [response, b""]

    async def respond(_: Request) -> bytes:
        return responses.pop(0)

    async with scripted(respond) as upstream:
        client = client_of(upstream.url, read_timeout_seconds=0.2)
        with pytest.raises((error, aws.ReadTimeoutError)) as raised:
            await call(client)
        # A response without its end is late if the connection stays open.
        assert raised.type is error or response.startswith(JSON)
        await client.close()


async def test_a_response_that_does_not_come_is_a_read_timeout() -> None:
    async with scripted(hang) as upstream:
        client = client_of(upstream.url, read_timeout_seconds=0.1)
        with pytest.raises(aws.ReadTimeoutError):
            await call(client)
        await client.close()


async def test_a_refused_connection_is_an_unreachable_endpoint() -> None:
    client = client_of(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(aws.EndpointConnectionError):
        await call(client)
    await client.close()


async def test_a_handshake_that_stalls_is_a_connect_timeout() -> None:
    async with scripted(hang) as upstream:  # which waits for a request in plaintext
        client = client_of(f"https://127.0.0.1:{upstream.port}", connect_timeout_seconds=0.2)
        with pytest.raises(aws.ConnectTimeoutError):
            await call(client)
        await client.close()


async def test_tls_verifies_with_the_configured_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(authority.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("aws", *LOOPBACK).write(tmp_path))
    async with scripted(always(ok()), tls) as upstream:
        url = f"https://127.0.0.1:{upstream.port}"
        stranger = client_of(url)
        with pytest.raises(aws.SSLError):
            await call(stranger)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        client = client_of(url)
        assert await call(client) == {}
        await stranger.close()
        await client.close()


async def boto3_call(url: str) -> None:
    """Make the same call with boto3's own HTTP session."""
    config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False)
    session = boto3.Session(region_name=REGION)
    client: Any = session.client("deadline", endpoint_url=url, config=config)
    await asyncio.to_thread(client.get_farm, farmId="farm-1")


CHANGING = ("authorization", "user-agent", "x-amz-date", "amz-sdk-invocation-id", "host")


def shown(request: Request) -> tuple[str, str, dict[str, str]]:
    headers = {name: text for name, text in request.headers.items() if name not in CHANGING}
    return request.method, request.target, headers


async def test_requests_equal_those_of_boto3() -> None:
    async with scripted(always(ok())) as upstream:
        client = client_of(upstream.url)
        await call(client)
        await boto3_call(upstream.url)
        ours, theirs = upstream.requests
        assert shown(ours) == shown(theirs)
        assert ours.headers["host"] == theirs.headers["host"]
        assert ours.headers.keys() == theirs.headers.keys()
        await client.close()


@pytest.mark.parametrize("secret", ["", "alice:pass%20word@"])
async def test_proxies_get_the_requests_of_boto3(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(always(ok())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{secret}127.0.0.1:{proxy.port}")
        client = client_of("http://aws.test:8123")
        await call(client)
        await boto3_call("http://aws.test:8123")
        ours, theirs = proxy.requests
        assert ours.target.startswith("http://aws.test:8123/")
        assert shown(ours) == shown(theirs)
        assert ("proxy-authorization" in ours.headers) is bool(secret)
        await client.close()


async def test_tls_goes_through_a_tunnel_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with scripted(always(refusal)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://alice:secret@127.0.0.1:{proxy.port}")
        client = client_of("https://aws.test")
        with pytest.raises(aws.ProxyConnectionError) as raised:
            await call(client)
        assert "secret" not in str(raised.value)
        with pytest.raises(aws.ProxyConnectionError):
            await boto3_call("https://aws.test")
        ours, theirs = proxy.requests
        assert (ours.method, ours.target) == (theirs.method, theirs.target)
        assert ours.method == "CONNECT"
        assert ours.headers["proxy-authorization"] == theirs.headers["proxy-authorization"]
        await client.close()


async def test_no_proxy_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(always(ok())) as upstream:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        client = client_of(upstream.url)
        assert await call(client) == {}
        await client.close()


def test_callers_cannot_grow_the_memory_of_proxies() -> None:
    transport = Transport(ssl_context=None, connect_timeout=1.0, read_timeout=1.0)
    for number in range(3 * MAX_ORIGINS):
        assert transport._proxy_of(f"http://{number}.aws.test/path") is None
    assert len(transport._proxies) <= MAX_ORIGINS


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_endpoint_variants_are_those_of_boto3(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "true")
    session: Any = boto3.Session(region_name=REGION)
    theirs = session.client("deadline").meta.endpoint_url
    ours = make_client(DEADLINE, AwsSettings(region=REGION))
    assert ours.client.meta.endpoint_url == theirs
    assert ours.endpoint == theirs.removeprefix("https://")
