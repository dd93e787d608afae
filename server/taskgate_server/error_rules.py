"""The rules for AWS's errors: gRPC status, details and retries for each code and HTTP status.

    MODELLED_ERRORS   codes that the models of both AWS services declare
    COMMON_ERRORS     codes that any AWS service can send
    STATUS_RULES      HTTP statuses, which decide when the code is unknown

docs/errors.md has the same tables.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from botocore import xform_name
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import StatusCode


class Retry(enum.Enum):
    """Which calls may be sent again after an error."""

    NEVER = "never"
    REPEATABLE = "repeatable"
    """Reads, and writes with an idempotency token: AWS may have executed the call."""
    THROTTLE = "throttle"
    """All calls: AWS rejected the call because of its rate, before executing it."""


Response: TypeAlias = Mapping[str, Any]
"""An AWS error as botocore parsed it: `Error`, `ResponseMetadata` and the modelled members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which AWS call an error belongs to."""

    service: str
    title: str
    domain: str
    operation: str
    resource: str = ""
    """The resource that the request names, such as `run/7`; HealthOmics' errors name none."""
    endpoint: str = ""
    """The host that was called, for the operator's log."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """The AWS service's own error codes, see `ServiceSpec.errors`."""


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
        resource_name=name or origin.resource,
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
    return [] if seconds is None else [retry_info(seconds)]


def _retry_always(response: Response, origin: Origin) -> list[Message]:
    return _retry(response, origin) or [retry_info(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one AWS error code, or one HTTP status, is reported."""

    code: StatusCode
    details: tuple[Details, ...] = ()
    by_reason: Mapping[str, StatusCode] = field(default_factory=dict)
    """The gRPC codes for values of AWS's own `reason`, where they differ from `code`."""
    retry: Retry = Retry.NEVER


CREDENTIALS: Final = Rule(code=StatusCode.UNAVAILABLE)
"""For refused credentials, which are the server's and not the caller's."""
_THROTTLED = Rule(
    code=StatusCode.RESOURCE_EXHAUSTED, details=(_retry_always, _quota), retry=Retry.THROTTLE
)
_OVERLOADED = Rule(code=StatusCode.UNAVAILABLE, details=(_retry_always,), retry=Retry.REPEATABLE)
_INTERNAL = Rule(code=StatusCode.INTERNAL, details=(_retry,), retry=Retry.REPEATABLE)
_TIMEOUT = Rule(code=StatusCode.DEADLINE_EXCEEDED, retry=Retry.REPEATABLE)
_UNKNOWN = Rule(code=StatusCode.UNKNOWN)

MODELLED_ERRORS: Final[Mapping[str, Rule]] = {
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
    "InternalServerErrorException": _INTERNAL,
    "InternalServerException": _INTERNAL,
    "RequestTimeoutException": _TIMEOUT,
    "NotSupportedOperationException": Rule(code=StatusCode.UNIMPLEMENTED),
    # The model marks it as retryable, but the same range stays out of range.
    "RangeNotSatisfiableException": Rule(code=StatusCode.OUT_OF_RANGE),
}
"""The codes that the models of Deadline Cloud and HealthOmics declare."""

# What CloudWatch Logs declares, and what any AWS service can send:
# https://docs.aws.amazon.com/general/latest/gr/api-retries.html and the common errors pages. The
# throttles and timeouts are botocore's lists (retries/standard.py and data/_retry.json), which a
# test compares.
COMMON_ERRORS: Final[Mapping[str, Rule]] = {
    "InvalidParameterException": Rule(code=StatusCode.INVALID_ARGUMENT),
    "AccessDenied": Rule(code=StatusCode.PERMISSION_DENIED),
    "OptInRequired": Rule(code=StatusCode.PERMISSION_DENIED),
    "NotAuthorized": Rule(code=StatusCode.PERMISSION_DENIED),
    "ValidationError": Rule(code=StatusCode.INVALID_ARGUMENT, details=(_bad_request,)),
    "UnknownOperationException": Rule(code=StatusCode.UNIMPLEMENTED),
    "RequestTimeout": _TIMEOUT,
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "TooManyRequests",
            "TooManyRequestsException",
            "TransactionInProgressException",
        ),
        _THROTTLED,
    ),
    **dict.fromkeys(("InternalError", "InternalFailure", "InternalServerError"), _INTERNAL),
    **dict.fromkeys(("ServiceUnavailable", "ServiceUnavailableException"), _OVERLOADED),
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
        CREDENTIALS,
    ),
}

AWS_ERRORS: Final[Mapping[str, Rule]] = {**MODELLED_ERRORS, **COMMON_ERRORS}

# Mostly gRPC's own mapping (grpc/doc/http-grpc-status-mapping.md). A 404 without a code of AWS's is
# an unknown route or a proxy's page, and no evidence that the resource does not exist.
STATUS_RULES: Final[Mapping[int, Rule]] = {
    400: Rule(code=StatusCode.INVALID_ARGUMENT),
    401: Rule(code=StatusCode.PERMISSION_DENIED),
    403: Rule(code=StatusCode.PERMISSION_DENIED),
    404: Rule(code=StatusCode.UNIMPLEMENTED),
    405: Rule(code=StatusCode.UNIMPLEMENTED),
    408: _TIMEOUT,
    409: Rule(code=StatusCode.FAILED_PRECONDITION),
    412: Rule(code=StatusCode.FAILED_PRECONDITION),
    413: Rule(code=StatusCode.INVALID_ARGUMENT),
    416: Rule(code=StatusCode.OUT_OF_RANGE),
    429: _THROTTLED,
    500: _INTERNAL,
    501: Rule(code=StatusCode.UNIMPLEMENTED),
    502: _OVERLOADED,
    503: _OVERLOADED,
    504: _OVERLOADED,
    509: _THROTTLED,
}
"""What an HTTP status means when the error has no code of `AWS_ERRORS`."""

TRANSIENT_STATUSES: Final = frozenset({500, 502, 503, 504})
"""Statuses after which boto3 sends a call again whatever its error code is."""
THROTTLING_STATUS: Final = 429
"""The status that means a throttle to boto3 unless the error's code is modelled."""


def http_status(response: Response) -> int:
    """Return the HTTP status of a response; 0 without one."""
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else 0


def rule_for(aws_code: str, status: int) -> Rule:
    """Return the rule for an error, with boto3's precedence of code and status."""
    if status == THROTTLING_STATUS and aws_code not in MODELLED_ERRORS:
        return _THROTTLED
    rule = AWS_ERRORS.get(aws_code)
    # A server that fails has not verified any credentials.
    if rule is None or (rule is CREDENTIALS and status in TRANSIENT_STATUSES):
        return STATUS_RULES.get(status, _UNKNOWN)
    return rule


def retry_after_seconds(response: Response) -> float | None:
    """Return AWS's time to wait: a modelled member in Deadline Cloud, an HTTP header elsewhere."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    value = response.get("retryAfterSeconds", headers.get("retry-after"))
    try:
        return max(float(value), 0.0) if value is not None else None
    except ValueError:  # the header may be a date
        return None


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    """Return the detail that says when to retry."""
    return error_details_pb2.RetryInfo(retry_delay=to_duration(seconds))


def to_duration(seconds: float) -> Duration:
    """Convert seconds to protobuf's Duration."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1_000_000_000))
