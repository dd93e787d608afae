"""Log lines with the texts of AWS errors that an operator needs, and callers do not get.

Texts are logged only of errors about permissions, credentials, quotas and the way to AWS. Others,
such as ValidationException, may quote a request, and a request may have sensitive task parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from taskgate_server.error_texts import redact_secrets
from taskgate_server.errors import Origin, Reason, TaskgateError
from taskgate_server.telemetry import LOG

LINES_PER_SECOND: Final = 10.0
MAX_TEXT_CHARACTERS: Final = 1500
"""So that a line stays below 2 KiB, and is written in one piece."""

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
"""An error with a code that is not known is none of them, whatever its HTTP status."""


class ErrorLog:
    """Writes a line for each failed call whose cause callers are not told in full.

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
        self._clock = clock
        self._permits = LINES_PER_SECOND
        self._refilled_at = clock()
        self._suppressed = 0

    def failed(self, told: TaskgateError, cause: Exception, origin: Origin) -> None:
        """Log a failed call, unless its text could quote a request or too many have been logged.

        Args:
            told: what the callers get.
            cause: what boto3 raised.
            origin: the call.
        """
        if told.reason not in LOGGED_REASONS:
            return
        if not self._take():
            self._suppressed += 1
            return
        suppressed, self._suppressed = self._suppressed, 0
        self._write(
            "AWS call failed",
            extra={
                "service": origin.service,
                "operation": origin.operation,
                "endpoint": origin.endpoint,
                "error_reason": told.reason,
                "aws_request_id": told.aws_request_id,
                "exception": type(cause).__name__,
                "text": _text(cause)[:MAX_TEXT_CHARACTERS],
                "suppressed_lines": suppressed,
            },
        )

    def _take(self) -> bool:
        now = self._clock()
        gained = (now - self._refilled_at) * LINES_PER_SECOND
        self._permits, self._refilled_at = min(LINES_PER_SECOND, self._permits + gained), now
        if self._permits < 1:
            return False
        self._permits -= 1
        return True


def _text(cause: Exception) -> str:
    """AWS's own text; empty for exceptions of boto3, which quote the URL of the request."""
    response: Mapping[str, Any] = getattr(cause, "response", None) or {}
    return redact_secrets(str(response.get("Error", {}).get("Message") or ""))
