"""The errors that callers receive: reasons, exception classes, and the conversion of AWS's errors.

    TaskgateError        status, message and details of a failed RPC; AWS's errors are instances
      OwnError           found by Taskgate; its reason is one of `Reason`
        UpstreamError    AWS cannot be called, or its response cannot be used

Errors that code distinguishes have a class of their own. `status` serializes all of them with
google.rpc.ErrorInfo and RequestInfo; docs/errors.md describes them to callers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar, Final, Self

from botocore import xform_name
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import StatusCode

from taskgate_server.error_rules import (
    CREDENTIALS,
    TRANSIENT_STATUSES,
    Origin,
    Response,
    Retry,
    http_status,
    retry_after_seconds,
    retry_info,
    rule_for,
    to_duration,
)
from taskgate_server.error_texts import sanitize_response
from taskgate_server.services.spec import ServiceSpec

__all__ = ["Origin", "Retry", "retry_info", "to_duration"]
"""Names of `error_rules` that callers of this module need."""

TASKGATE_DOMAIN: Final = "taskgate"
MAX_FAULTS_IN_MESSAGE: Final = 3
"""Of an invalid request; its details have all of them."""
MAX_REASON_CHARACTERS: Final = 63
"""The limit of google.rpc.ErrorInfo."""
MAX_METHOD_CHARACTERS: Final = 256


class Reason(StrEnum):
    """The reasons of Taskgate's own errors, each with its gRPC status."""

    status: StatusCode

    def __new__(cls, reason: str, status: StatusCode) -> Self:
        """Make a member from its text and its status."""
        member = str.__new__(cls, reason)
        member._value_ = reason
        member.status = status
        return member

    ATTEMPT_NOT_FOUND = "ATTEMPT_NOT_FOUND", StatusCode.NOT_FOUND
    CALLER_LIMIT = "CALLER_LIMIT", StatusCode.RESOURCE_EXHAUSTED
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID", StatusCode.UNAUTHENTICATED
    IDENTITY_MISSING = "IDENTITY_MISSING", StatusCode.UNAUTHENTICATED
    INVALID_REQUEST = "INVALID_REQUEST", StatusCode.INVALID_ARGUMENT
    KEYS_UNAVAILABLE = "KEYS_UNAVAILABLE", StatusCode.UNAVAILABLE
    POLICY_DENIED = "POLICY_DENIED", StatusCode.PERMISSION_DENIED
    REQUEST_IDLE = "REQUEST_IDLE", StatusCode.DEADLINE_EXCEEDED
    RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE", StatusCode.RESOURCE_EXHAUSTED
    SERVER_STOPPING = "SERVER_STOPPING", StatusCode.UNAVAILABLE
    SPOOL_FULL = "SPOOL_FULL", StatusCode.RESOURCE_EXHAUSTED
    SPOOL_UNUSABLE = "SPOOL_UNUSABLE", StatusCode.FAILED_PRECONDITION
    STREAM_TOKEN_EXPIRED = "STREAM_TOKEN_EXPIRED", StatusCode.UNAVAILABLE  # no secret
    TASKGATE_BUG = "TASKGATE_BUG", StatusCode.INTERNAL
    TASK_NOT_FOUND = "TASK_NOT_FOUND", StatusCode.NOT_FOUND
    TIME_LIMIT_EXCEEDED = "TIME_LIMIT_EXCEEDED", StatusCode.DEADLINE_EXCEEDED
    TOKEN_EXPIRED = "TOKEN_EXPIRED", StatusCode.UNAUTHENTICATED  # no secret
    TOKEN_INVALID = "TOKEN_INVALID", StatusCode.UNAUTHENTICATED  # no secret
    UNKNOWN_HEALTH_NAME = "UNKNOWN_HEALTH_NAME", StatusCode.NOT_FOUND
    UNKNOWN_METHOD = "UNKNOWN_METHOD", StatusCode.UNIMPLEMENTED
    UPSTREAM_CIRCUIT_OPEN = "UPSTREAM_CIRCUIT_OPEN", StatusCode.UNAVAILABLE
    UPSTREAM_CONFIGURATION = "UPSTREAM_CONFIGURATION", StatusCode.UNAVAILABLE
    UPSTREAM_CREDENTIALS = "UPSTREAM_CREDENTIALS", StatusCode.UNAVAILABLE
    UPSTREAM_QUOTA = "UPSTREAM_QUOTA", StatusCode.RESOURCE_EXHAUSTED
    UPSTREAM_RESPONSE_TRUNCATED = "UPSTREAM_RESPONSE_TRUNCATED", StatusCode.UNAVAILABLE
    UPSTREAM_RESPONSE_UNREADABLE = "UPSTREAM_RESPONSE_UNREADABLE", StatusCode.UNKNOWN
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE", StatusCode.UNAVAILABLE
    VERB_NOT_IN_SERVICE = "VERB_NOT_IN_SERVICE", StatusCode.FAILED_PRECONDITION


@dataclass(slots=True, kw_only=True, eq=False)
class TaskgateError(Exception):
    """The failure of an RPC, with everything that its caller receives."""

    code: StatusCode
    message: str
    reason: str
    domain: str = TASKGATE_DOMAIN
    metadata: dict[str, str] = field(default_factory=dict)
    details: list[Message] = field(default_factory=list)
    aws_request_id: str = ""
    retry_after: float | None = None
    """Seconds to wait that AWS's response named."""
    retry: Retry = Retry.NEVER
    """Whether the same call may succeed when it is sent again."""
    resource_count: int = 0
    """Number of resources in a request that names too many, for the audit."""

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"

    def copy(self) -> Self:
        """Return the same error without its traceback, to be raised for another caller."""
        copied = type(self).__new__(type(self))
        for each in fields(self):
            setattr(copied, each.name, getattr(self, each.name))
        return copied


class OwnError(TaskgateError):
    """An error that Taskgate itself found.

    Args:
        reason: also decides the gRPC status.
        message: what is wrong, then what to do.
        metadata: for ErrorInfo.
        details: further messages of google.rpc.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        details: Sequence[Message] = (),
    ) -> None:
        super().__init__(
            code=reason.status,
            message=message,
            reason=reason,
            metadata=dict(metadata or {}),
            details=list(details),
        )


class BugError(OwnError):
    """Taskgate failed. Only the log has the cause, under the request id of the call."""

    def __init__(self) -> None:
        super().__init__(
            Reason.TASKGATE_BUG,
            "Taskgate failed; its log has the details under the request id given here",
        )


class CallerLimitError(OwnError):
    """A caller exceeded one of its limits.

    Args:
        limit: the setting.
        allowed: its value.
        retry_seconds: until the call may succeed.
    """

    def __init__(self, limit: str, allowed: float, retry_seconds: float) -> None:
        super().__init__(
            Reason.CALLER_LIMIT,
            f"one caller may have {allowed:.12g} {limit.replace('_', ' ')}: retry later",
            metadata={"limit": limit},
            details=[retry_info(retry_seconds)],
        )


class ServerStoppingError(OwnError):
    """The server shut down before it could respond."""

    def __init__(self) -> None:
        super().__init__(
            Reason.SERVER_STOPPING,
            "the server is shutting down: retry, on another server if there is one",
            details=[retry_info(1)],
        )


class UpstreamError(OwnError):
    """AWS cannot be called, or its response cannot be used."""

    REASON: ClassVar[Reason]

    def __init__(self, origin: Origin, message: str, *, details: Sequence[Message] = ()) -> None:
        metadata = {"operation": origin.operation, "service": origin.service}
        super().__init__(self.REASON, message, metadata=metadata, details=details)


class CircuitOpenError(UpstreamError):
    """The circuit breaker refused the call."""

    REASON = Reason.UPSTREAM_CIRCUIT_OPEN


class ConfigurationError(UpstreamError):
    """The server's settings do not suffice to call AWS."""

    REASON = Reason.UPSTREAM_CONFIGURATION


class CredentialsMissingError(UpstreamError):
    """The server has no AWS credentials, so that no call can succeed."""

    REASON = Reason.UPSTREAM_CREDENTIALS


class CredentialsRefusedError(UpstreamError):
    """AWS refused the server's credentials for this call."""

    REASON = Reason.UPSTREAM_CREDENTIALS


class QuotaError(UpstreamError):
    """AWS's quota has no room for the call within the caller's time."""

    REASON = Reason.UPSTREAM_QUOTA


class ResponseTruncatedError(UpstreamError):
    """AWS ended its response early."""

    REASON = Reason.UPSTREAM_RESPONSE_TRUNCATED


class TimeLimitError(UpstreamError):
    """The caller's deadline, or the server's own limit, passed while AWS was called."""

    REASON = Reason.TIME_LIMIT_EXCEEDED

    def __init__(self, origin: Origin, seconds: float) -> None:
        super().__init__(
            origin, f"{origin.title} did not respond to {origin.operation} within {seconds:.3g} s"
        )


class UnreachableError(UpstreamError):
    """There is no connection to AWS, or no response on it."""

    REASON = Reason.UPSTREAM_UNREACHABLE


class UnreadableResponseError(OwnError):
    """AWS reported success, but its response does not fit the model of the operation."""

    def __init__(self, operation: str) -> None:
        super().__init__(
            Reason.UPSTREAM_RESPONSE_UNREADABLE,
            f"AWS's response to {operation} does not fit its model",
            metadata={"operation": operation},
        )


# --- AWS's error responses ------------------------------------------------------------------------


def origin_of(spec: ServiceSpec, operation: str = "") -> Origin:
    """Return the origin of errors of an AWS service."""
    return Origin(
        service=spec.name,
        title=spec.title,
        domain=spec.error_domain,
        operation=operation,
        codes=spec.errors,
    )


_MEMBERS_WITHOUT_METADATA = {"Error", "ResponseMetadata", "message", "Message", "fieldList"}
"""Members that the status, the message or the details have."""


def from_aws(response: Response, origin: Origin) -> TaskgateError:
    """Convert an error response of AWS by its code, or by its HTTP status if the code is unknown.

    Args:
        response: the error as botocore parsed it, or an item's error of a batch, without a status.
        origin: the call that failed.
    """
    response = sanitize_response(response)
    aws_code = str(response.get("Error", {}).get("Code") or "Unknown")
    status = http_status(response)
    rule = rule_for(origin.codes.get(aws_code, aws_code), status)
    retry = rule.retry
    if retry is Retry.NEVER and status in TRANSIENT_STATUSES:
        retry = Retry.REPEATABLE
    error = TaskgateError(
        code=rule.by_reason.get(str(response.get("reason")), rule.code),
        message=_aws_message(response) or f"{origin.title} returned {aws_code}",
        reason=_upper_snake(aws_code),
        domain=origin.domain,
        metadata=_metadata(response, origin),
        details=[detail for make in rule.details for detail in make(response, origin)],
        aws_request_id=response.get("ResponseMetadata", {}).get("RequestId", ""),
        retry_after=retry_after_seconds(response),
        retry=retry,
    )
    return _credentials_refused(error, origin) if rule is CREDENTIALS else error


def _credentials_refused(error: TaskgateError, origin: Origin) -> CredentialsRefusedError:
    """Return the error without AWS's text: the credentials are the server's, not the caller's."""
    refused = CredentialsRefusedError(
        origin,
        f"{origin.title} refuses this server's AWS credentials for {origin.operation}:"
        " renew them, or check the endpoint if other operations succeed",
        details=error.details,
    )
    refused.metadata = error.metadata | {"aws_code": error.reason}
    refused.aws_request_id = error.aws_request_id
    refused.retry_after, refused.retry = error.retry_after, error.retry
    return refused


def _metadata(response: Response, origin: Origin) -> dict[str, str]:
    """Return all scalar members of the error and the entries of its maps, by their AWS names."""
    metadata: dict[str, str] = {}
    for member, value in response.items():
        if member in _MEMBERS_WITHOUT_METADATA or value is None:
            continue
        if isinstance(value, Mapping):
            metadata |= {str(key): str(each) for key, each in value.items()}
        else:
            metadata[member] = str(value)
    # Last, so that no member of AWS's replaces what Taskgate reports.
    metadata |= {"operation": origin.operation, "service": origin.service}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return metadata | ({"http_status": str(status)} if status is not None else {})


def _aws_message(response: Response) -> str:
    return str(response.get("Error", {}).get("Message") or response.get("message") or "")


def _upper_snake(code: str) -> str:
    """Return AWS's code in the form of a google.rpc.ErrorInfo reason."""
    words = re.sub(r"[^0-9A-Za-z]+", "_", code)[:MAX_REASON_CHARACTERS]
    return words if words.isupper() else xform_name(words).upper()[:MAX_REASON_CHARACTERS]


# --- Taskgate's own errors that no code distinguishes ---------------------------------------------


def invalid_request(faults: Mapping[str, str], *, is_complete: bool = True) -> OwnError:
    """Return the error of a request with faults. Nothing was sent to AWS.

    Args:
        faults: field path to description.
        is_complete: whether the whole request was validated.
    """
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=path, description=fault)
        for path, fault in sorted(faults.items())
    ]
    texts = [f"{path or 'request'}: {fault}" for path, fault in sorted(faults.items())]
    message = "; ".join(texts[:MAX_FAULTS_IN_MESSAGE])
    if len(texts) > MAX_FAULTS_IN_MESSAGE:
        message += f"; and {len(texts) - MAX_FAULTS_IN_MESSAGE} more"
    if not is_complete:
        message += "; validation stopped there, and the request may have more faults"
    return OwnError(
        Reason.INVALID_REQUEST,
        message,
        details=[error_details_pb2.BadRequest(field_violations=violations)],
    )


def task_not_found(name: str) -> OwnError:
    """Return the error for a task that AWS does not have, or no longer has."""
    return OwnError(
        Reason.TASK_NOT_FOUND,
        f"task {name} not found",
        details=[error_details_pb2.ResourceInfo(resource_type="task", resource_name=name)],
    )


def unknown_method(method: str) -> OwnError:
    """Return the error of a call of a method that this server does not have."""
    return OwnError(
        Reason.UNKNOWN_METHOD,
        "this server has no such method: check the name, or whether the server is older than the"
        " client; reflection lists the methods",
        metadata={"method": method[:MAX_METHOD_CHARACTERS]},
    )


def response_too_large(max_bytes: int) -> OwnError:
    """Return the error of a task for which the `max_bytes` of a response have no room."""
    return OwnError(
        Reason.RESPONSE_TOO_LARGE,
        f"the response would exceed {max_bytes} bytes: request this task again in a batch of fewer"
        " names, or with view BASIC",
        metadata={"max_response_bytes": str(max_bytes)},
    )
