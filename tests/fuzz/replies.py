"""What every reply must be, whatever was asked and whatever AWS answered."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from taskgate_server.errors import Reason
from taskgate_server.pipeline.response import STATUS_KEY
from tests.fuzz.inprocess import Reply

METADATA_BYTES = 8192
"""What a gRPC client takes by default."""

_ENTRY_BYTES = 32


class Unlike(Exception):  # noqa: N818  # says what a reply is unlike
    """A reply is not as it must be."""


def info_of(reply: Reply) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of a failed call.

    Raises:
        Unlike: the reply has no details, or others than it must have.
    """
    packed = dict(reply.trailers).get(STATUS_KEY)
    if not isinstance(packed, bytes):
        raise Unlike(f"{reply.code.name} without details: {reply.message[:200]}")
    try:
        status = status_pb2.Status.FromString(packed)
    except DecodeError as error:
        raise Unlike("details that are no google.rpc.Status") from error
    if status.code != reply.code.value[0]:
        raise Unlike(f"{reply.code.name}, but {status.code} in the details")
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.RequestInfo()
    if not (status.details[0].Unpack(info) and status.details[1].Unpack(request)):
        raise Unlike("no ErrorInfo or no RequestInfo")
    if not info.reason or not info.domain:
        raise Unlike("no reason or no domain")
    return info


def check(reply: Reply, bugs: Sequence[str], leaks: Sequence[str]) -> None:
    """Small enough, legal as metadata, no bug, and nothing of the caller's or AWS's in the log.

    Raises:
        Unlike: with what is wrong, alike for alike faults.
    """
    if bugs:
        raise Unlike(f"bug: {bugs[0]}")
    if leaks:
        raise Unlike("a value in the log")
    if _metadata_bytes(reply) > METADATA_BYTES:
        raise Unlike("more trailing metadata than clients take")
    if reply.code is grpc.StatusCode.OK:
        if not reply.responses:
            raise Unlike("OK without a response")
        return
    info = info_of(reply)
    if info.reason == Reason.TASKGATE_BUG:
        raise Unlike("TASKGATE_BUG")


def _metadata_bytes(reply: Reply) -> int:
    size = len(_percent_encoded(reply.message)) if reply.code is not grpc.StatusCode.OK else 0
    for key, value in reply.trailers:
        size += len(key) + _ENTRY_BYTES
        # Bytes go in base64.
        size += (len(value) + 2) // 3 * 4 if isinstance(value, bytes) else len(value)
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise Unlike(f"metadata {key} that HTTP/2 cannot carry")
    return size


def _percent_encoded(text: str) -> bytes:
    return b"".join(
        bytes([byte]) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode()
    )
