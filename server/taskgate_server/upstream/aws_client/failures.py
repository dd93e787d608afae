"""Failures of calls to AWS: converts botocore's exceptions to `TaskgateError`, and logs them.

`error_rules.AWS_ERRORS` has the errors that AWS itself returns. Only texts of errors about
permissions, credentials, quotas and the network are logged. Others, such as ValidationException,
may quote a request, which may have sensitive task parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from taskgate_server import errors
from taskgate_server.error_texts import redact_secrets
from taskgate_server.errors import Origin, Reason, TaskgateError
from taskgate_server.telemetry.logs import LOG
from taskgate_server.token_bucket import TokenBucket

LINES_PER_SECOND: Final = 10.0
MAX_TEXT_CHARACTERS: Final = 1500
"""Keeps a line below 2 KiB, so that it is written in one piece."""
MAX_MEMBERS: Final = 1000
"""Bounds the members with odd values that are logged."""

LOGGED_REASONS: Final = frozenset(
    {
        "ACCESS_DENIED",
        "ACCESS_DENIED_EXCEPTION",
        "NOT_AUTHORIZED",
        "OPT_IN_REQUIRED",
        "SERVICE_QUOTA_EXCEEDED_EXCEPTION",
        Reason.UPSTREAM_CREDENTIALS,
        Reason.UPSTREAM_UNREACHABLE,
    }
)
"""Errors with unknown codes are never logged, whatever their HTTP status."""


class CaBundleError(Exception):
    """The CA bundle for connections to AWS cannot be used.

    Args:
        setting: the variable, or the key of the profile, that has its path.
        path: of the bundle.
        fault: why it cannot be used.
    """

    def __init__(self, setting: str, path: str, fault: str) -> None:
        super().__init__(f"{setting}: {path}: {fault}")
        self.setting = setting
        self.fault = fault


Convert: TypeAlias = Callable[[Any, Origin], TaskgateError]


def from_botocore(error: Exception, origin: Origin) -> TaskgateError:
    """Convert any failure of a boto3 call. An unexpected one is a bug."""
    for kinds, convert in _rules():
        if isinstance(error, kinds):
            return convert(error, origin)
    return errors.BugError()


def from_set_up(error: Exception, origin: Origin) -> TaskgateError:
    """Convert a failure to make a client; botocore raises ValueError for an invalid endpoint."""
    if isinstance(error, CaBundleError):
        return errors.ConfigurationError(
            origin,
            f"this server cannot verify {origin.title}: the CA bundle of {error.setting} cannot be"
            f" used ({error.fault}); correct its path, or unset it",
        )
    return _bad_set_up(error, origin) if type(error) is ValueError else from_botocore(error, origin)


def _bad_set_up(_: Any, origin: Origin) -> TaskgateError:
    return errors.ConfigurationError(
        origin,
        f"this server is not set up for {origin.title}: check its region"
        f" (TASKGATE_AWS__{origin.service.upper()}__REGION or AWS_REGION) and endpoint",
    )


def _no_credentials(_: Any, origin: Origin) -> TaskgateError:
    return errors.CredentialsMissingError(
        origin,
        f"this server has no AWS credentials for {origin.title}: provide them in one of boto3's"
        " ways (environment, profile, role)",
    )


def _unreachable(problem: str) -> Convert:
    return lambda _, origin: errors.UnreachableError(
        origin,
        f"{origin.title} {problem}: check this server's region, endpoint and network",
        details=[errors.retry_info(1)],
    )


def _rules() -> Sequence[tuple[tuple[type[Exception], ...], Convert]]:
    """Return the conversions of botocore's exceptions, whose import takes 0.2 s."""
    import botocore.exceptions as aws  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    return (
        ((aws.ClientError,), lambda error, origin: errors.from_aws(error.response, origin)),
        (
            (
                aws.NoCredentialsError,
                aws.PartialCredentialsError,
                aws.CredentialRetrievalError,
                aws.TokenRetrievalError,
                aws.UnauthorizedSSOTokenError,
                aws.SSOError,
                aws.ProfileNotFound,
                aws.ConfigParseError,
            ),
            _no_credentials,
        ),
        (
            (
                aws.NoRegionError,
                aws.InvalidRegionError,
                aws.EndpointProviderError,
                aws.UnknownServiceError,
                aws.InvalidEndpointConfigurationError,
            ),
            _bad_set_up,
        ),
        (
            (aws.ParamValidationError,),
            lambda *_: errors.invalid_request({"": "violates a constraint of AWS's model"}),
        ),
        (
            (ResponseParserError,),
            lambda _, origin: errors.UnreadableResponseError(origin.operation),
        ),
        (
            (aws.IncompleteReadError, aws.ResponseStreamingError),
            lambda _, origin: errors.ResponseTruncatedError(
                origin,
                f"the response of {origin.title} to {origin.operation} ended early; retry",
            ),
        ),
        ((aws.ReadTimeoutError,), _unreachable("does not respond in time")),
        ((aws.ConnectTimeoutError,), _unreachable("does not accept connections in time")),
        ((aws.ConnectionClosedError,), _unreachable("closed the connection")),
        ((aws.SSLError,), _unreachable("has a certificate that this server does not trust")),
        ((aws.HTTPClientError, aws.ConnectionError), _unreachable("cannot be reached")),
    )


class CallLog:
    """Writes log lines about calls to one AWS service, at a limited rate.

    Args:
        write: logs a line, with its fields as `extra`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        write: Callable[..., None] = LOG.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._lines = TokenBucket(LINES_PER_SECOND, clock)
        self._suppressed = 0
        self._odd_members: set[tuple[str, str]] = set()

    def log_error(self, error: TaskgateError, cause: Exception, origin: Origin) -> None:
        """Log what boto3 raised, unless it could quote a request or too much has been logged."""
        if error.reason not in LOGGED_REASONS:
            return
        if self._lines.take():
            self._suppressed += 1
            return
        suppressed, self._suppressed = self._suppressed, 0
        self._write(
            "AWS call failed",
            extra={
                "service": origin.service,
                "operation": origin.operation,
                "endpoint": origin.endpoint,
                "error_reason": error.reason,
                "aws_request_id": error.aws_request_id,
                "exception": type(cause).__name__,
                "text": _text(cause)[:MAX_TEXT_CHARACTERS],
                "suppressed_lines": suppressed,
            },
        )

    def log_odd_members(self, operation: str, members: Iterable[str]) -> None:
        """Log each member of a response with a value that does not fit AWS's model, once."""
        for member in members:
            key = (operation, member)
            if key not in self._odd_members and len(self._odd_members) < MAX_MEMBERS:
                self._odd_members.add(key)
                fields = {"operation": operation, "member": member}
                self._write("odd value in an AWS response", extra=fields)


def _text(cause: Exception) -> str:
    """Return AWS's own text; empty for exceptions of boto3, which quote the request's URL."""
    response: Mapping[str, Any] = getattr(cause, "response", None) or {}
    return redact_secrets(str(response.get("Error", {}).get("Message") or ""))
