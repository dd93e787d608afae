"""A failed call, its details unpacked: the bad fields, how long to wait, which AWS request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Violation(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    description: str


@dataclass(slots=True, eq=False)
class CallError(Exception):
    """A call that Taskgate answered with an error, or could not answer."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    """Such as RESOURCE_NOT_FOUND_EXCEPTION: AWS's error code, or Taskgate's own reason."""
    domain: str = ""
    """Who says so: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`."""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    """Every field of the request that is wrong."""
    retry_after_seconds: float | None = None
    """How long to wait before trying again, where it is known."""
    resource: tuple[str, str] | None = None
    """Type and id of the thing that is missing or in conflict."""
    quota: str = ""
    """The id of the AWS quota that was exceeded."""
    request_id: str = ""
    """AWS's id of the request if there was one, else Taskgate's id of the call."""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    @classmethod
    def of(cls, error: grpc.RpcError) -> CallError:
        """What an error of any Taskgate stub says; works for servers of other makes too."""
        call: Any = error
        told = cls(code=call.code(), message=call.details() or "")
        try:
            status: Any = rpc_status.from_call(call)
        except (DecodeError, ValueError):  # no status at all, or one of another error
            status = None
        for packed in status.details if status is not None else ():
            told._add(packed)
        return told

    @classmethod
    def of_status(cls, status: Status) -> CallError:
        """What an error inside an answer says, such as that of one item of a batch."""
        told = cls(code=_CODES.get(status.code, grpc.StatusCode.UNKNOWN), message=status.message)
        for packed in status.details:
            told._add(packed)
        return told

    def _add(self, packed: Any) -> None:
        for kind, take in _DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                with suppress(DecodeError):  # it cannot be told, but the others can
                    packed.Unpack(detail)
                    take(self, detail)


@contextmanager
def errors_told() -> Iterator[None]:
    """Raises errors of gRPC inside of the `with` as CallErrors."""
    try:
        yield
    except grpc.RpcError as error:
        raise CallError.of(error) from None


def _take_info(error: CallError, detail: Any) -> None:
    error.reason, error.domain = detail.reason, detail.domain
    error.metadata = dict(detail.metadata)


def _take_request(error: CallError, detail: Any) -> None:
    error.request_id = detail.request_id


def _take_violations(error: CallError, detail: Any) -> None:
    error.violations = [Violation(each.field, each.description) for each in detail.field_violations]


def _take_retry(error: CallError, detail: Any) -> None:
    error.retry_after_seconds = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9


def _take_resource(error: CallError, detail: Any) -> None:
    error.resource = (detail.resource_type, detail.resource_name)


def _take_quota(error: CallError, detail: Any) -> None:
    error.quota = next((each.quota_id for each in detail.violations if each.quota_id), "")


_DETAILS: tuple[tuple[type[Message], Any], ...] = (
    (error_details_pb2.ErrorInfo, _take_info),
    (error_details_pb2.RequestInfo, _take_request),
    (error_details_pb2.BadRequest, _take_violations),
    (error_details_pb2.RetryInfo, _take_retry),
    (error_details_pb2.ResourceInfo, _take_resource),
    (error_details_pb2.QuotaFailure, _take_quota),
)
