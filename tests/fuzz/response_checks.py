"""What must hold for every response, whatever the request and AWS's response were."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from taskgate_server.errors import Reason
from taskgate_server.pipeline.response import STATUS_KEY
from tests.fuzz.inprocess import GrpcResponse

METADATA_BYTES = 8192
"""The default limit of gRPC clients."""

_ENTRY_BYTES = 32


class Mismatch(Exception):  # noqa: N818  # says what a grpc_response is unlike
    """A response is not as required."""


def info_of(response: GrpcResponse) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo of a failed call.

    Raises:
        Mismatch: the response has no details, or the wrong ones.
    """
    packed = dict(response.trailers).get(STATUS_KEY)
    if not isinstance(packed, bytes):
        raise Mismatch(f"{response.code.name} without details: {response.message[:200]}")
    try:
        status = status_pb2.Status.FromString(packed)
    except DecodeError as error:
        raise Mismatch("details that are no google.rpc.Status") from error
    if status.code != response.code.value[0]:
        raise Mismatch(f"{response.code.name}, but {status.code} in the details")
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.RequestInfo()
    if not (status.details[0].Unpack(info) and status.details[1].Unpack(request)):
        raise Mismatch("no ErrorInfo or no RequestInfo")
    if not info.reason or not info.domain:
        raise Mismatch("no reason or no domain")
    return info


def check(response: GrpcResponse, bugs: Sequence[str], leaks: Sequence[str]) -> None:
    """Check size and legality of metadata, and that there are no bugs and no leaks to the log.

    Raises:
        Mismatch: the same text for the same kind of failure.
    """
    if bugs:
        raise Mismatch(f"bug: {bugs[0]}")
    if leaks:
        raise Mismatch("a value in the log")
    if _metadata_bytes(response) > METADATA_BYTES:
        raise Mismatch("more trailing metadata than clients take")
    if response.code is grpc.StatusCode.OK:
        if not response.responses:
            raise Mismatch("OK without a response")
        return
    info = info_of(response)
    if info.reason == Reason.TASKGATE_BUG:
        raise Mismatch("TASKGATE_BUG")


def _metadata_bytes(response: GrpcResponse) -> int:
    size = len(_percent_encoded(response.message)) if response.code is not grpc.StatusCode.OK else 0
    for key, value in response.trailers:
        size += len(key) + _ENTRY_BYTES
        # Bytes go in base64.
        size += (len(value) + 2) // 3 * 4 if isinstance(value, bytes) else len(value)
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise Mismatch(f"metadata {key} that HTTP/2 cannot carry")
    return size


def _percent_encoded(text: str) -> bytes:
    return b"".join(
        bytes([byte]) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode()
    )
