"""boto3 without HTTP: its requests are recorded, and its responses are canned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3 import HTTPHeaderDict, HTTPResponse

from taskgate_server.upstream.aws_client import greenlets
from taskgate_server.upstream.aws_client.uploads import UploadBody
from tests.support.contract.synthesis import WireResponse

HOST = "aws.test"
REQUEST_ID = "11111111-2222-4333-8444-555555555555"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsResponse:
    """An HTTP response, byte for byte."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b"{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An HTTP request sent to AWS."""

    method: str
    host: str
    target: str
    """Path and query, as in the request line."""
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Wire:
    """Receives boto3's HTTP requests and returns canned responses."""

    response: AwsResponse = field(default_factory=AwsResponse)
    host: str = HOST
    """The only host that requests may be sent to; empty for any."""
    sent: list[Sent] = field(default_factory=list)

    def before_send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Handle botocore's `before-send` event."""
        # Blanks around a value are no part of it: RFC 9110, section 5.5.
        headers = {name: _text(value).strip(" \t") for name, value in request.headers.items()}
        host, slash, rest = str(request.url).partition("://")[2].partition("/")
        assert self.host in (host, "")
        sent = Sent(
            method=request.method,
            host=host,
            target=slash + rest,
            headers=headers,
            body=_bytes(request.body),
        )
        self.sent.append(sent)
        response = self.response
        raw = HTTPResponse(
            body=BytesIO(response.body),
            status=response.status,
            headers=HTTPHeaderDict(response.headers),
            preload_content=False,
            decode_content=False,
            enforce_content_length=False,
        )
        response_headers: Any = raw.headers  # as botocore's own session gives them
        return AWSResponse(str(request.url), response.status, response_headers, raw)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if isinstance(body, UploadBody):
        return greenlets.wait(_collect(body))
    read: bytes = body.read()
    return read


async def _collect(body: UploadBody) -> bytes:
    return b"".join([part async for part in body])


def to_aws_response(response: WireResponse, body: bytes) -> AwsResponse:
    """Convert a synthesized response to bytes, with AWS's usual headers."""
    headers = {
        "Content-Type": "application/json",
        "x-amzn-RequestId": REQUEST_ID,
        "Content-Length": str(len(body)),
        **response.headers,
    }
    return AwsResponse(status=response.status, headers=list(headers.items()), body=body)
