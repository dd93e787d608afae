"""A channel that makes unary calls in JSON, with Connect's protocol instead of gRPC's.

Tests that judge the results of calls over gRPC judge those over HTTP with it.
"""

from __future__ import annotations

import base64
import json
from http.client import HTTPConnection, HTTPMessage
from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from google.rpc import status_pb2

from taskgate_server.ports import Address

Metadata = tuple[tuple[str, str | bytes], ...]
STATUS_DETAILS = "grpc-status-details-bin"
TRAILER = "trailer-"
CODES = {code.name.lower(): code for code in grpc.StatusCode} | {
    "canceled": grpc.StatusCode.CANCELLED  # Connect spells it with one l
}


class JsonCallError(grpc.RpcError):
    """An error response, with the accessors of an error of gRPC's client."""

    def __init__(self, error: dict[str, Any], metadata: Metadata) -> None:
        super().__init__(error)
        self._code = CODES[error["code"]]
        self._details = error.get("message", "")
        status = status_pb2.Status(
            code=self._code.value[0],
            message=self._details,
            details=[
                any_pb2.Any(
                    type_url=f"type.googleapis.com/{each['type']}",
                    value=base64.b64decode(each["value"] + "=="),
                )
                for each in error.get("details", ())
            ],
        )
        self._metadata = (*metadata, (STATUS_DETAILS, status.SerializeToString()))

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return str(self._details)

    def trailing_metadata(self) -> tuple[Any, ...]:
        return self._metadata


class JsonCall:
    """What is known of a call that has succeeded, besides its message."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def trailing_metadata(self) -> Metadata:
        return self._metadata


class JsonMethod:
    """A unary RPC."""

    def __init__(self, connection: HTTPConnection, path: str) -> None:
        self._connection = connection
        self._path = path
        service, _, name = path.strip("/").partition("/")
        pool: Any = descriptor_pool.Default()
        method = pool.FindServiceByName(service).methods_by_name[name]
        self._response = message_factory.GetMessageClass(method.output_type)

    def with_call(
        self, request: Message, timeout: float, metadata: Metadata = ()
    ) -> tuple[Message, JsonCall]:
        """Return the response and its trailing metadata.

        Raises:
            JsonCallError: The response is an error.
        """
        headers = {
            "content-type": "application/json",
            "connect-protocol-version": "1",
            "connect-timeout-ms": str(int(timeout * 1000)),
            **{key: str(value) for key, value in metadata},
        }
        body = json_format.MessageToJson(request, indent=None).encode()
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        content = json.loads(response.read())
        trailers = _trailers(response.headers)
        if response.status != 200:
            raise JsonCallError(content, trailers)
        return json_format.ParseDict(content, self._response()), JsonCall(trailers)


class JsonChannel:
    """Makes calls one after the other, on one connection.

    Args:
        address: The server's HTTP port.
    """

    def __init__(self, address: Address, timeout: float = 60.0) -> None:
        self._connection = HTTPConnection(str(address), timeout=timeout)

    def unary_unary(self, method: str, **_serializers: Any) -> JsonMethod:
        """Return an RPC by its path; the serializers for protobuf are not needed."""
        return JsonMethod(self._connection, method)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _trailers(headers: HTTPMessage) -> Metadata:
    """Return the trailing metadata, which unary responses have as headers."""
    return tuple(
        (key.lower().removeprefix(TRAILER), value)
        for key, value in headers.items()
        if key.lower().startswith(TRAILER)
    )
