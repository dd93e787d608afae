"""The error of a failed call, with its details unpacked."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

CLIENT_CLOSED: Final = "CLIENT_CLOSED"
"""The reason of `ClosedError`."""

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Violation(NamedTuple):
    """An invalid field of a request."""

    field: str
    description: str


@dataclass(slots=True, eq=False)
class CallError(Exception):
    """A call that failed, on the server or on the way to it."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    """AWS's error code or Taskgate's reason, such as RESOURCE_NOT_FOUND_EXCEPTION."""
    domain: str = ""
    """Origin of the reason: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`."""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    """All invalid fields of the request."""
    retry_after_seconds: float | None = None
    """How long to wait before a retry, if known."""
    resource: tuple[str, str] | None = None
    """Type and id of the resource that is missing or in conflict."""
    quota: str = ""
    """The id of the exceeded AWS quota."""
    request_id: str = ""
    """AWS's request id if AWS was called, otherwise Taskgate's id of the call."""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def __reduce__(self) -> tuple[type[CallError], tuple[Any, ...]]:
        """Return what `pickle` and `copy` need; an exception's own has no arguments."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self))

    @classmethod
    def of(cls, error: grpc.RpcError | CallError) -> CallError:
        """Convert the error of any gRPC stub, also of other servers than Taskgate."""
        if isinstance(error, CallError):
            return error
        call: Any = error
        converted = cls(code=call.code(), message=call.details() or "")
        try:
            status: Any = rpc_status.from_call(call)
        except (DecodeError, ValueError):  # the status is malformed, or contradicts the code
            status = None
        for packed in status.details if status is not None else ():
            converted._add(packed)
        return converted

    @classmethod
    def of_status(cls, status: Status) -> CallError:
        """Convert an error within a response, such as that of one item of a batch."""
        code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        converted = cls(code=code, message=status.message)
        for packed in status.details:
            converted._add(packed)
        return converted

    def _add(self, packed: Any) -> None:
        for kind, add in _DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                with suppress(DecodeError):  # a malformed detail must not hide the others
                    packed.Unpack(detail)
                    add(self, detail)


class ClosedError(CallError):
    """The client was closed before the call, or during it."""

    @classmethod
    def new(cls) -> ClosedError:
        """Return the error of a call of a closed client."""
        return cls(grpc.StatusCode.CANCELLED, "the client is closed", CLIENT_CLOSED, "taskgate")


def _add_error_info(error: CallError, detail: Any) -> None:
    error.reason, error.domain = detail.reason, detail.domain
    error.metadata = dict(detail.metadata)


def _add_request_info(error: CallError, detail: Any) -> None:
    error.request_id = detail.request_id


def _add_bad_request(error: CallError, detail: Any) -> None:
    error.violations = [Violation(each.field, each.description) for each in detail.field_violations]


def _add_retry_info(error: CallError, detail: Any) -> None:
    error.retry_after_seconds = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9


def _add_resource_info(error: CallError, detail: Any) -> None:
    error.resource = (detail.resource_type, detail.resource_name)


def _add_quota_failure(error: CallError, detail: Any) -> None:
    error.quota = next((each.quota_id for each in detail.violations if each.quota_id), "")


_DETAILS: tuple[tuple[type[Message], Any], ...] = (
    (error_details_pb2.ErrorInfo, _add_error_info),
    (error_details_pb2.RequestInfo, _add_request_info),
    (error_details_pb2.BadRequest, _add_bad_request),
    (error_details_pb2.RetryInfo, _add_retry_info),
    (error_details_pb2.ResourceInfo, _add_resource_info),
    (error_details_pb2.QuotaFailure, _add_quota_failure),
)
