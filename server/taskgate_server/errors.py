"""Every error that a caller can see: one table, one class, one wrap for each foreign error.

    TaskgateError              what the RPC answers: status, message, details
      from the caller          INVALID_ARGUMENT, found before anything was sent
      from AWS                 by `AWS_ERRORS`, the table of AWS codes
      from the way to AWS      UNAVAILABLE, DEADLINE_EXCEEDED: see `upstream.failures`
      from Taskgate            INTERNAL: a bug here, told without its insides

Each carries google.rpc.ErrorInfo (reason, domain, metadata) and RequestInfo; see docs/errors.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from botocore import xform_name
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import StatusCode

from taskgate_server.error_texts import sanitize_response

TASKGATE_DOMAIN: Final = "taskgate"
BUG: Final = "TASKGATE_BUG"
"""The reason of errors that are Taskgate's own fault."""
SERVER_STOPPING: Final = "SERVER_STOPPING"
"""The reason for which a call is to go to another server."""

CALLER_LIMIT: Final = "CALLER_LIMIT"
"""The reason of calls beyond the limits of one caller."""

VALIDATION_STOPPED: Final = "; validation stopped there, and the request may have more faults"

Response: TypeAlias = Mapping[str, Any]
"""An AWS error as botocore parsed it: `Error`, `ResponseMetadata` and the modelled members."""


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
    credentials_refused: bool = False
    """Whether no call can succeed until the server has other credentials."""

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which AWS call an error belongs to."""

    service: str
    title: str
    domain: str
    operation: str
    endpoint: str = ""
    """The host asked, for the person who has to find out why it cannot be reached."""


# --- What AWS answers -----------------------------------------------------------------------------

Details: TypeAlias = Callable[[Response, Origin], list[Message]]


def _bad_request(response: Response, _: Origin) -> list[Message]:
    fields = response.get("fieldList") or []
    violations = [
        error_details_pb2.BadRequest.FieldViolation(
            field=xform_name(item.get("name", "")), description=item.get("message", "")
        )
        for item in fields
    ]
    return [error_details_pb2.BadRequest(field_violations=violations)] if violations else []


def _resource(response: Response, origin: Origin) -> list[Message]:
    kind, name = response.get("resourceType", ""), response.get("resourceId", "")
    info = error_details_pb2.ResourceInfo(
        resource_type=kind or origin.title,
        resource_name=name,
    )
    return [info]


def _quota(response: Response, origin: Origin) -> list[Message]:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=response.get("serviceCode") or origin.service,
        quota_id=response.get("quotaCode", ""),
    )
    return [error_details_pb2.QuotaFailure(violations=[violation])]


def _retry(response: Response, _: Origin) -> list[Message]:
    seconds = retry_after_seconds(response)
    if seconds is None:
        return []
    return [error_details_pb2.RetryInfo(retry_delay=to_duration(seconds))]


def _retry_always(response: Response, origin: Origin) -> list[Message]:
    return _retry(response, origin) or [error_details_pb2.RetryInfo(retry_delay=to_duration(1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of one AWS error code."""

    code: StatusCode
    details: tuple[Details, ...] = ()
    by_reason: Mapping[str, StatusCode] = field(default_factory=dict)
    """The codes that AWS's own `reason` leads to instead."""


_CREDENTIALS = Rule(code=StatusCode.UNAVAILABLE)
_THROTTLED = Rule(code=StatusCode.RESOURCE_EXHAUSTED, details=(_retry_always, _quota))
_OVERLOADED = Rule(code=StatusCode.UNAVAILABLE, details=(_retry_always,))

AWS_ERRORS: Final[Mapping[str, Rule]] = {
    # What the two models declare.
    "ValidationException": Rule(code=StatusCode.INVALID_ARGUMENT, details=(_bad_request,)),
    "AccessDeniedException": Rule(code=StatusCode.PERMISSION_DENIED),
    "ResourceNotFoundException": Rule(code=StatusCode.NOT_FOUND, details=(_resource,)),
    "ThrottlingException": _THROTTLED,
    "ServiceQuotaExceededException": Rule(code=StatusCode.RESOURCE_EXHAUSTED, details=(_quota,)),
    "ConflictException": Rule(
        code=StatusCode.FAILED_PRECONDITION,
        details=(_resource,),
        by_reason={
            "RESOURCE_ALREADY_EXISTS": StatusCode.ALREADY_EXISTS,
            "CONCURRENT_MODIFICATION": StatusCode.ABORTED,
        },
    ),
    "InternalServerErrorException": Rule(code=StatusCode.INTERNAL, details=(_retry,)),
    "InternalServerException": Rule(code=StatusCode.INTERNAL, details=(_retry,)),
    "RequestTimeoutException": Rule(code=StatusCode.DEADLINE_EXCEEDED),
    "NotSupportedOperationException": Rule(code=StatusCode.UNIMPLEMENTED),
    "RangeNotSatisfiableException": Rule(code=StatusCode.OUT_OF_RANGE),
    # What CloudWatch Logs declares besides.
    "InvalidParameterException": Rule(code=StatusCode.INVALID_ARGUMENT),
    # What any AWS service can answer:
    # https://docs.aws.amazon.com/general/latest/gr/api-retries.html and the common errors pages.
    "AccessDenied": Rule(code=StatusCode.PERMISSION_DENIED),
    "OptInRequired": Rule(code=StatusCode.PERMISSION_DENIED),
    "NotAuthorized": Rule(code=StatusCode.PERMISSION_DENIED),
    "ValidationError": Rule(code=StatusCode.INVALID_ARGUMENT, details=(_bad_request,)),
    "UnknownOperationException": Rule(code=StatusCode.UNIMPLEMENTED),
    **dict.fromkeys(
        ("Throttling", "ThrottledException", "TooManyRequestsException", "RequestThrottled"),
        _THROTTLED,
    ),
    **dict.fromkeys(("ServiceUnavailable", "ServiceUnavailableException"), _OVERLOADED),
    **dict.fromkeys(("502", "503", "504"), _OVERLOADED),  # an answer that was not the service's
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        _CREDENTIALS,
    ),
}

_MEMBERS_TOLD_ELSEWHERE = {"Error", "ResponseMetadata", "message", "Message", "fieldList"}


def from_aws(response: Response, origin: Origin) -> TaskgateError:
    """An AWS error answer, by the table. A code that is not in it is UNKNOWN."""
    response = sanitize_response(response)
    aws_code = str(response.get("Error", {}).get("Code") or "Unknown")
    rule = AWS_ERRORS.get(aws_code, Rule(code=StatusCode.UNKNOWN))
    error = TaskgateError(
        code=rule.by_reason.get(str(response.get("reason")), rule.code),
        message=_aws_message(response) or f"{origin.title} answered {aws_code}",
        reason=_upper_snake(aws_code),
        domain=origin.domain,
        metadata=_metadata(response, origin),
        details=[detail for make in rule.details for detail in make(response, origin)],
        aws_request_id=response.get("ResponseMetadata", {}).get("RequestId", ""),
        retry_after=retry_after_seconds(response),
    )
    return _credentials_refused(error, origin) if rule is _CREDENTIALS else error


def _credentials_refused(error: TaskgateError, origin: Origin) -> TaskgateError:
    """The server's own credentials are no fault of the caller's, and their details not its."""
    return replace(
        error,
        message=f"{origin.title} refuses this server's AWS credentials: renew them",
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


def retry_after_seconds(response: Response) -> float | None:
    """How long AWS asks to wait: Deadline models it, others have it in the HTTP header, if any."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told = response.get("retryAfterSeconds", headers.get("retry-after"))
    try:
        return max(float(told), 0.0) if told is not None else None
    except ValueError:  # the header may be a date; then there is no number to pass on
        return None


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
        reason="TIME_LIMIT_EXCEEDED",
        metadata={"operation": origin.operation, "service": origin.service},
    )


def unreadable_answer(operation: str) -> TaskgateError:
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
        message=f"one caller may have {allowed:g} {limit.replace('_', ' ')}: ask again later",
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


def spool_full(limit: str) -> TaskgateError:
    """Return the error of an upload that has no room on this server."""
    return TaskgateError(
        code=StatusCode.RESOURCE_EXHAUSTED,
        message=f"uploads in progress have reached {limit}: retry when others have ended",
        reason="SPOOL_FULL",
        metadata={"limit": "spool_max_bytes"},
        details=[error_details_pb2.RetryInfo(retry_delay=to_duration(10))],
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


def to_duration(seconds: float) -> Duration:
    """Seconds as protobuf has them."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1_000_000_000))
