"""Every error that a caller can see: one table, one class, one wrap for each foreign error.

    TaskgateError              what the RPC answers: status, message, details
      from the caller          INVALID_ARGUMENT, found before anything was sent
      from AWS                 by the tables of `error_rules`
      from the way to AWS      UNAVAILABLE, DEADLINE_EXCEEDED: see `upstream.failures`
      from Taskgate            INTERNAL: a bug here, told without its insides

Each carries google.rpc.ErrorInfo (reason, domain, metadata) and RequestInfo; see docs/errors.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

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
    rule_for,
    to_duration,
)
from taskgate_server.error_texts import sanitize_response

__all__ = ["Origin", "Retry", "to_duration"]
"""Names of `error_rules` that callers of this module need."""

TASKGATE_DOMAIN: Final = "taskgate"
BUG: Final = "TASKGATE_BUG"
"""The reason of errors that are Taskgate's own fault."""
TIME_LIMIT: Final = "TIME_LIMIT_EXCEEDED"
"""The reason of calls that AWS did not answer within their callers' time."""
SERVER_STOPPING: Final = "SERVER_STOPPING"
"""The reason for which a call is to go to another server."""

CALLER_LIMIT: Final = "CALLER_LIMIT"
"""The reason of calls beyond the limits of one caller."""

VALIDATION_STOPPED: Final = "; validation stopped there, and the request may have more faults"


@dataclass(slots=True, kw_only=True, eq=False)
class TaskgateError(Exception):
    """An RPC's failure, ready to be told to the caller."""

    code: StatusCode
    message: str
    reason: str
    domain: str = TASKGATE_DOMAIN
    metadata: dict[str, str] = field(default_factory=dict)
    details: list[Message] = field(default_factory=list)
    aws_request_id: str = ""
    retry_after: float | None = None
    """Seconds that AWS itself asked to wait."""
    retry: Retry = Retry.NEVER
    """Whether the same call may succeed when it is sent again."""
    credentials_refused: bool = False
    """Whether AWS refused the server's credentials for this call."""
    credentials_missing: bool = False
    """Whether the server has no credentials, so that no call can succeed until it has some."""

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"


# --- What AWS answers -----------------------------------------------------------------------------

_MEMBERS_TOLD_ELSEWHERE = {"Error", "ResponseMetadata", "message", "Message", "fieldList"}


def from_aws(response: Response, origin: Origin) -> TaskgateError:
    """Convert an error response of AWS by its code, or by its HTTP status if the code is unknown.

    Args:
        response: the error as botocore parsed it, or an item's error of a batch, without a status.
        origin: the call that failed.
    """
    response = sanitize_response(response)
    aws_code = str(response.get("Error", {}).get("Code") or "Unknown")
    status = http_status(response)
    rule = rule_for(aws_code, status)
    retry = rule.retry
    if retry is Retry.NEVER and status in TRANSIENT_STATUSES:
        retry = Retry.REPEATABLE
    error = TaskgateError(
        code=rule.by_reason.get(str(response.get("reason")), rule.code),
        message=_aws_message(response) or f"{origin.title} answered {aws_code}",
        reason=_upper_snake(aws_code),
        domain=origin.domain,
        metadata=_metadata(response, origin),
        details=[detail for make in rule.details for detail in make(response, origin)],
        aws_request_id=response.get("ResponseMetadata", {}).get("RequestId", ""),
        retry_after=retry_after_seconds(response),
        retry=retry,
    )
    return _credentials_refused(error, origin) if rule is CREDENTIALS else error


def _credentials_refused(error: TaskgateError, origin: Origin) -> TaskgateError:
    """The server's own credentials are no fault of the caller's, and their details not its."""
    return replace(
        error,
        message=f"{origin.title} refuses this server's AWS credentials for {origin.operation}:"
        " renew them, or check the endpoint if other operations succeed",
        metadata=error.metadata | {"aws_code": error.reason},
        reason="UPSTREAM_CREDENTIALS",
        domain=TASKGATE_DOMAIN,
        credentials_refused=True,
    )


def _metadata(response: Response, origin: Origin) -> dict[str, str]:
    """All the scalar members of the error, and the entries of its maps, under their AWS names."""
    metadata: dict[str, str] = {}
    for member, value in response.items():
        if member in _MEMBERS_TOLD_ELSEWHERE or value is None:
            continue
        if isinstance(value, Mapping):
            metadata |= {str(key): str(each) for key, each in value.items()}
        else:
            metadata[member] = str(value)
    # Last, so that nothing of AWS's takes the place of what Taskgate says.
    metadata |= {"operation": origin.operation, "service": origin.service}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return metadata | ({"http_status": str(status)} if status is not None else {})


def _aws_message(response: Response) -> str:
    return str(response.get("Error", {}).get("Message") or response.get("message") or "")


# --- What Taskgate itself finds -------------------------------------------------------------------


def invalid_request(faults: Mapping[str, str], *, is_complete: bool = True) -> TaskgateError:
    """Return the error of a request with faults. Nothing was sent to AWS.

    Args:
        faults: field path to description.
        is_complete: whether the whole request was validated.
    """
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=path, description=fault)
        for path, fault in sorted(faults.items())
    ]
    first = "; ".join(f"{path or 'request'}: {fault}" for path, fault in sorted(faults.items())[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""  # noqa: PLR2004  # the details have all
    return TaskgateError(
        code=StatusCode.INVALID_ARGUMENT,
        message=f"{first}{more}{'' if is_complete else VALIDATION_STOPPED}",
        reason="INVALID_REQUEST",
        details=[error_details_pb2.BadRequest(field_violations=violations)],
    )


def time_limit_exceeded(origin: Origin, seconds: float) -> TaskgateError:
    """The caller's time, or the server's own limit, ran out while AWS was asked."""
    return TaskgateError(
        code=StatusCode.DEADLINE_EXCEEDED,
        message=f"{origin.title} did not answer {origin.operation} within {seconds:.3g} s",
        reason=TIME_LIMIT,
        metadata={"operation": origin.operation, "service": origin.service},
    )


def unreadable_response(operation: str) -> TaskgateError:
    """AWS answered with success and something that its model does not describe."""
    return TaskgateError(
        code=StatusCode.UNKNOWN,
        message=f"AWS's answer to {operation} does not fit its model",
        reason="UPSTREAM_ANSWER_UNREADABLE",
        metadata={"operation": operation},
    )


def unavailable(origin: Origin, reason: str, message: str, **more: Any) -> TaskgateError:
    """AWS cannot be asked: `reason` is one of the UPSTREAM_ reasons of docs/errors.md."""
    return TaskgateError(
        code=StatusCode.UNAVAILABLE,
        message=message,
        reason=reason,
        metadata={"operation": origin.operation, "service": origin.service},
        **more,
    )


def task_not_found(name: str) -> TaskgateError:
    """A task that somebody waits for is not there, or no longer."""
    return TaskgateError(
        code=StatusCode.NOT_FOUND,
        message=f"AWS has no task {name}, or no longer",
        reason="TASK_NOT_FOUND",
        details=[error_details_pb2.ResourceInfo(resource_type="task", resource_name=name)],
    )


def stopping() -> TaskgateError:
    """The server stops before it could begin to answer."""
    return TaskgateError(
        code=StatusCode.UNAVAILABLE,
        message="this server stops; another one, or this one in a moment, will answer",
        reason=SERVER_STOPPING,
        details=[error_details_pb2.RetryInfo(retry_delay=to_duration(1))],
    )


def unauthenticated(reason: str, message: str) -> TaskgateError:
    """Who calls is not known; the message says what to do, and quotes nothing of the caller's."""
    return TaskgateError(code=StatusCode.UNAUTHENTICATED, message=message, reason=reason)


def keys_unavailable() -> TaskgateError:
    """The keys of the tokens' issuer cannot be had."""
    return TaskgateError(
        code=StatusCode.UNAVAILABLE,
        message="this server cannot reach the keys of the tokens' issuer: try again",
        reason="KEYS_UNAVAILABLE",
        details=[error_details_pb2.RetryInfo(retry_delay=to_duration(5))],
    )


def policy_denied(caller: str, action: str, resource: str) -> TaskgateError:
    """Return the error of a call that the policy does not allow. Nothing was looked up.

    Args:
        caller: the authenticated principal.
        action: such as `tasks/GetTask`.
        resource: the ids that the request names; empty if it names none, or was not read.
    """
    where = f" on {resource}" if resource else ""
    return TaskgateError(
        code=StatusCode.PERMISSION_DENIED,
        message=f"the policy of this server does not allow {caller} to do {action}{where}",
        reason="POLICY_DENIED",
        metadata={"caller": caller, "action": action, "resource": resource},
    )


def request_idle(seconds: float) -> TaskgateError:
    """Return the error of a call whose next request message did not arrive in time."""
    return TaskgateError(
        code=StatusCode.DEADLINE_EXCEEDED,
        message=f"no request message arrived for {seconds:g} s: send the next one sooner, or end"
        " the stream",
        reason="REQUEST_IDLE",
        metadata={"limit": "request_idle_seconds"},
    )


def credential_expired() -> TaskgateError:
    """Return the error of a stream that lasted longer than its caller's token.

    UNAVAILABLE makes clients reconnect; they send a new token then.
    """
    return TaskgateError(
        code=StatusCode.UNAVAILABLE,
        message="the token of this stream has expired: reconnect with a new one",
        reason="STREAM_TOKEN_EXPIRED",
    )


def unknown_health_name(names: Sequence[str]) -> TaskgateError:
    """Return the error of a health check for a name that this server does not have."""
    return TaskgateError(
        code=StatusCode.NOT_FOUND,
        message=f"no such service; there are {', '.join(repr(name) for name in names)}",
        reason="UNKNOWN_HEALTH_NAME",
    )


def unknown_method(method: str) -> TaskgateError:
    """Return the error of a call of a method that this server does not have."""
    return TaskgateError(
        code=StatusCode.UNIMPLEMENTED,
        message="this server has no such method: check the name, or whether the server is older"
        " than the client; reflection lists the methods",
        reason="UNKNOWN_METHOD",
        metadata={"method": method[:256]},
    )


def caller_limit(limit: str, allowed: float, retry_seconds: float) -> TaskgateError:
    """The caller has more going on than one caller may; `limit` is the setting that says so."""
    return TaskgateError(
        code=StatusCode.RESOURCE_EXHAUSTED,
        message=f"one caller may have {allowed:.12g} {limit.replace('_', ' ')}: ask again later",
        reason=CALLER_LIMIT,
        metadata={"limit": limit},
        details=[error_details_pb2.RetryInfo(retry_delay=to_duration(retry_seconds))],
    )


def response_too_large(max_bytes: int) -> TaskgateError:
    """Return the error of a task for which a batch's response has no room.

    Args:
        max_bytes: of one response.
    """
    return TaskgateError(
        code=StatusCode.RESOURCE_EXHAUSTED,
        message=f"the response would exceed {max_bytes} bytes: request this task again in a batch"
        " of fewer names, or with view BASIC",
        reason="RESPONSE_TOO_LARGE",
        metadata={"max_response_bytes": str(max_bytes)},
    )


def internal() -> TaskgateError:
    """A bug of Taskgate's: the log has the story, the caller an id to find it by."""
    return TaskgateError(
        code=StatusCode.INTERNAL,
        message="Taskgate failed; its log has the details under the request id given here",
        reason=BUG,
    )


def _upper_snake(code: str) -> str:
    """AWS's code as a reason: google.rpc.ErrorInfo has at most 63 of these characters."""
    words = re.sub(r"[^0-9A-Za-z]+", "_", code)[:63]
    return words if words.isupper() else xform_name(words).upper()[:63]
