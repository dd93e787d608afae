"""Logs, metrics and traces of the server.

Only the logs are imported here: metrics and traces need libraries that servers without them do not
load.
"""

from __future__ import annotations

from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.logs import (
    AUDIT,
    BUGS,
    LOG,
    LineFormat,
    LogOutput,
    Tally,
    choose_format,
    log_bug,
    quotable,
    set_up_logging,
)

__all__ = [
    "AUDIT",
    "BUGS",
    "LOG",
    "LineFormat",
    "LogOutput",
    "LogWriter",
    "Tally",
    "choose_format",
    "log_bug",
    "quotable",
    "set_up_logging",
]
