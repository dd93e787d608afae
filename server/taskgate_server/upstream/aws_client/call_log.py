"""Log lines about calls to AWS: the texts of errors that callers do not get, and odd values.

Only texts of errors about permissions, credentials, quotas and the network are logged. Others, such
as ValidationException, may quote a request, which may have sensitive task parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

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
        """Log a failed call, unless its text could quote a request or too many have been logged.

        Args:
            error: what callers get.
            cause: what boto3 raised.
            origin: the call.
        """
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
