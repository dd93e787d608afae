"""Errors in Connect's form, with the details that the same error has over gRPC.

https://connectrpc.com/docs/protocol/#error-end-stream
"""

from __future__ import annotations

import json
import math
from typing import Final

from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from protobuf.wkt import Any, Struct

from taskgate_server import errors

CODES: Final[dict[int, Code]] = {
    status.value[0]: Code.CANCELED if status is StatusCode.CANCELLED else Code(status.name.lower())
    for status in StatusCode
    if status is not StatusCode.OK
}
"""Connect's codes by the numbers of gRPC's."""

STATUSES: Final = {CODES[status.value[0]]: status for status in StatusCode if status.value[0]}


class _Detail(ErrorDetail):
    """A detail that has a readable form in JSON, too, in the field `debug`.

    connectrpc makes `debug` of messages of another protobuf library. A `Struct` of that library has
    the same JSON.
    """

    def __init__(self, packed: any_pb2.Any) -> None:
        super().__init__(Any(type_url=packed.type_url, value=packed.value))
        self._packed = packed

    def value(self, *_: object) -> Struct | None:  # type: ignore[override]  # the form of `debug`
        """Return the detail as a message with the same JSON; None for an unknown type."""
        try:
            fields = json_format.MessageToDict(self._packed)
        except TypeError:
            return None
        fields.pop("@type", None)
        return Struct.from_json(json.dumps(fields))


def to_connect_error(status: status_pb2.Status) -> ConnectError:
    """Return an error that the pipeline has made for gRPC."""
    details = [_Detail(packed) for packed in status.details]
    return ConnectError(CODES[status.code], status.message, details)


def deadline_exceeded() -> ConnectError:
    """Return the error of a call whose deadline has passed before it had a response."""
    error = errors.OwnError(
        errors.Reason.TIME_LIMIT_EXCEEDED,
        "the deadline of the call has passed: allow more time",
    )
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=error.domain)
    packed = any_pb2.Any()
    packed.Pack(info)
    return ConnectError(Code.DEADLINE_EXCEEDED, error.message, [_Detail(packed)])


def retry_seconds(status: status_pb2.Status) -> int | None:
    """Return after how many whole seconds the call may be retried; None without RetryInfo."""
    info = error_details_pb2.RetryInfo()
    for packed in status.details:
        if packed.Unpack(info):
            seconds: float = info.retry_delay.ToTimedelta().total_seconds()
            return max(math.ceil(seconds), 1)
    return None


def to_taskgate_error(error: ConnectError) -> errors.TaskgateError:
    """Return an error that connectrpc found in a request, such as one that is too large."""
    if error.code is Code.INVALID_ARGUMENT:
        return errors.invalid_request({"": error.message})
    return errors.TaskgateError(
        code=STATUSES[error.code],
        message=error.message,
        reason=errors.Reason.INVALID_REQUEST,
    )
