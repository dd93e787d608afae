"""The audit: a log line for each call of an RPC that writes, and for each denied call.

Reads that are allowed have no line. The line is written when the call has ended. `CallRecord.audit`
has the fields that a behaviour adds.
"""

from __future__ import annotations

import re
from typing import Any, Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.auth.actions import SPECS, Action, action_of, is_read
from taskgate_server.calls import CallContext, ResourcePath
from taskgate_server.pipeline.call_log import split
from taskgate_server.telemetry.logs import AUDIT, quotable

MAX_RESOURCE_CHARACTERS: Final = 1000
"""Length of the resources in one line, so that it stays under 2 KiB. Others get further lines."""

DENIALS: Final = frozenset({StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED})
"""If the error is Taskgate's own: what AWS denies, it denies to the server, not to the caller."""

ID: Final = re.compile(r"[A-Za-z0-9_.:/@+=-]{1,256}")
"""The form of AWS's ids and ARNs. Anything else may be a value that must not be logged."""

SERVICES: Final = frozenset(spec.name for spec in SPECS.values())


class Audit:
    """Writes the audit line of a call when it ends."""

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        call.record.ends.append(_end)
        return call


def _end(call: CallContext) -> None:
    error, reads = call.record.error, is_read(call.rpc.method)
    is_denied = (
        error is not None and error.code in DENIALS and error.domain == errors.TASKGATE_DOMAIN
    )
    has_line = call.record.is_logged if is_denied else not reads or bool(call.refused_items)
    if has_line:
        _write(call, action_of(call.rpc.method), changes=not (reads or is_denied))


def _write(call: CallContext, action: Action, *, changes: bool) -> None:
    """Write the line; `changes` is whether the call may have changed all of its resources."""
    record = call.record
    error = record.error
    # A request that was refused before AWS was called may have anything in the place of an id.
    unchecked = record.code is StatusCode.INVALID_ARGUMENT and not record.aws_request_id
    names = [(_hidden if unchecked else _shown)(path) for path in call.resources]
    fields: dict[str, Any] = {
        "method": call.rpc.method,
        "group": action.group,
        "caller": quotable(call.caller),
        "target": call.target,
        "call_id": call.call_id,
        "code": record.code.name,
        "error_reason": error.reason if error is not None else "",
        "aws_request_id": record.aws_request_id,
        "resource_count": len(names) or (error.resource_count if error is not None else 0),
        **({} if record.trace is None else {"trace_id": record.trace.trace}),
        **record.audit,
    }
    parts = split(names, MAX_RESOURCE_CHARACTERS)
    AUDIT.info("audit", extra={**fields, "resources": next(parts, [])})
    if not changes:
        return
    for number, part in enumerate(parts, 2):
        more = {
            "method": call.rpc.method,
            "call_id": call.call_id,
            "part": number,
            "resources": part,
        }
        AUDIT.info("audit continued", extra=more)


def _hidden(path: ResourcePath) -> str:
    """Return the AWS service of a path, and `?` for each id."""
    service = path[0][1]
    return "/".join([service if service in SERVICES else "?", *("?" for _ in path[1:])])


def _shown(path: ResourcePath) -> str:
    """Return the ids of a path, with `?` for values that do not have the form of ids."""
    return "/".join(key if ID.fullmatch(key) else "?" for _, key in path)
