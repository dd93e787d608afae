"""What the server tells of itself: `logs` and `metrics`.

Only the logs are imported here: metrics have a library of their own, for those who ask for them.
"""

from __future__ import annotations

from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.logs import (
    AUDIT,
    BUGS,
    LOG,
    LogOutput,
    LogStyle,
    Tally,
    log_bug,
    quotable,
    set_up_logging,
)

__all__ = [
    "AUDIT",
    "BUGS",
    "LOG",
    "LogOutput",
    "LogStyle",
    "LogWriter",
    "Tally",
    "log_bug",
    "quotable",
    "set_up_logging",
]
