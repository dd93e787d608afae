"""The audit: a line in the log for each call of an RPC that writes, and for each call denied.

Reads that are allowed have no line. The line is written when the call has ended, from what the
other stages found out; what a service adds is in `Call.audit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.auth.actions import SPECS, Action, action_of, is_read
from taskgate_server.calls import Call, ResourcePath, Rpc
from taskgate_server.pipeline.stage import Enter
from taskgate_server.telemetry import AUDIT, quotable

MAX_RESOURCE_CHARACTERS: Final = 1000
"""Of the resources in one line, so that it stays under 2 KiB. Further ones are in further lines."""

DENIALS: Final = frozenset({StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED})
"""With Taskgate's own reason: what AWS denies, it denies the server."""

ID: Final = re.compile(r"[A-Za-z0-9_.:/@+=-]{1,256}")
"""The form of AWS's ids and ARNs. Anything else may be what a caller did not mean to be logged."""

SERVICES: Final = frozenset(spec.name for spec in SPECS.values())


class Audit:
    """Writes the lines."""

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        if rpc.is_public:
            return None
        reads = is_read(rpc.method)

        @cache  # at the first line: it loads AWS's model
        def action() -> Action:
            return action_of(rpc.method)

        async def enter(call: Call) -> None:
            def end() -> None:
                if _has_line(call, reads=reads):
                    _write(call, action(), reads=reads)

            call.ends.append(end)

        return enter


def _has_line(call: Call, *, reads: bool) -> bool:
    if call.error is not None and _is_denial(call.error):
        return call.is_logged
    return not reads or bool(call.refused_items)


def _is_denial(error: errors.TaskgateError) -> bool:
    return error.code in DENIALS and error.domain == errors.TASKGATE_DOMAIN


def _write(call: Call, action: Action, *, reads: bool) -> None:
    error = call.error
    # A request that was refused before AWS was called may have anything in the place of an id.
    unchecked = call.code is StatusCode.INVALID_ARGUMENT and not call.aws_request_id
    names = [(_hidden if unchecked else _shown)(path) for path in call.resources]
    denied = error is not None and _is_denial(error)
    fields: dict[str, Any] = {
        "method": call.method,
        "group": action.group,
        "caller": quotable(call.caller),
        "target": call.target,
        "call_id": call.call_id,
        "code": call.code.name,
        "error_reason": error.reason if error is not None else "",
        "aws_request_id": call.aws_request_id,
        "resource_count": len(names),
        **({} if call.trace is None else {"trace_id": call.trace.trace}),
        **call.audit,
    }
    parts = iter(_parts(names))
    AUDIT.info("audit", extra={**fields, "resources": next(parts, [])})
    if reads or denied:
        return  # the rest is of no use: nothing was changed
    for number, part in enumerate(parts, 2):
        more = {"method": call.method, "call_id": call.call_id, "part": number, "resources": part}
        AUDIT.info("audit continued", extra=more)


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names in lists of at most `MAX_RESOURCE_CHARACTERS`."""
    part: list[str] = []
    length = 0
    for name in names:
        if part and length + len(name) > MAX_RESOURCE_CHARACTERS:
            yield part
            part, length = [], 0
        part.append(name)
        length += len(name)
    if part:
        yield part


def _hidden(path: ResourcePath) -> str:
    """Return the AWS service of a path, and how deep it is."""
    service = path[0][1]
    return "/".join([service if service in SERVICES else "?", *("?" for _ in path[1:])])


def _shown(path: ResourcePath) -> str:
    """Return the ids of a path, without what is no id."""
    return "/".join(key if ID.fullmatch(key) else "?" for _, key in path)
