"""The audit: a line in the log for each call of an RPC that writes, and for each that is denied.

Which RPCs write, and what a request is about, is what the policy goes by, too (`guard.actions`,
`guard.resources`). What a service knows besides it puts into `Call.audit`. Reads that are allowed
have no line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from google.protobuf.message import Message
from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.calls import Call, Rpc, parse_request
from taskgate_server.guard.actions import SPECS, UNIFIED_READS, Action, action_of
from taskgate_server.guard.resources import Path, Paths, compile_paths
from taskgate_server.telemetry import AUDIT

MOST_RESOURCES: Final = 100
"""Told of one call; their number is told in any case."""

DENIALS: Final = frozenset({StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED})
"""Where they are Taskgate's own: AWS denies the server, not its caller."""

ID: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,256}")
"""What ids of AWS look like. Anything else may be what a caller did not mean to have logged."""


SERVICES: Final = frozenset(spec.name for spec in SPECS.values())


def audited(rpc: Rpc, *, has_guard: bool) -> Rpc:
    """The RPC with a line for each call if it writes, else for each that is denied.

    Args:
        rpc: with what guards it.
        has_guard: whether anything does; without, no read is denied.
    """
    service, _, name = rpc.method.rpartition("/")
    spec = SPECS.get(service)
    reads = UNIFIED_READS if spec is None else tuple(spec.shared_reads)
    audit = _Audit(rpc)
    if name.startswith(reads) or service.startswith("grpc.reflection."):
        if not has_guard:
            return rpc
        serve = audit.streaming_read if rpc.server_streams else audit.read
    else:
        serve = audit.streaming if rpc.server_streams else audit.unary
    return replace(rpc, behaviour=serve)


@dataclass(slots=True)
class _Outcome:
    paths: list[Path] = field(default_factory=list)
    code: str = StatusCode.OK.name
    reason: str = ""


class _Audit:
    """Around one RPC. AWS's model is asked at the first call: it takes long to load."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    @cached_property
    def _action(self) -> Action:
        return action_of(self._rpc.method)

    @cached_property
    def _paths(self) -> Paths:
        return compile_paths(self._rpc.method, self._rpc.request_class)

    async def unary(self, request: Any, call: Call) -> Any:
        with self._line(call) as outcome:
            return await self._rpc.behaviour(self._seen(request, outcome), call)

    async def streaming(self, request: Any, call: Call) -> AsyncIterator[Any]:
        with self._line(call) as outcome:
            responses = self._rpc.behaviour(self._seen(request, outcome), call)
            async with aclosing(responses):
                async for response in responses:
                    yield response

    async def read(self, request: Any, call: Call) -> Any:
        try:
            response = await self._rpc.behaviour(request, call)
        except errors.TaskgateError as error:
            self._tell_denial(request, call, error)
            raise
        if call.audit:
            self._tell_denial(request, call, None)  # of some items
        return response

    async def streaming_read(self, request: Any, call: Call) -> AsyncIterator[Any]:
        try:
            async with aclosing(self._rpc.behaviour(request, call)) as responses:
                async for response in responses:
                    yield response
        except errors.TaskgateError as error:
            self._tell_denial(request, call, error)
            raise

    def _tell_denial(self, request: Any, call: Call, error: errors.TaskgateError | None) -> None:
        outcome = _Outcome()
        if error is not None:
            if error.code not in DENIALS or error.domain != errors.TASKGATE_DOMAIN:
                return
            outcome.code, outcome.reason = error.code.name, error.reason
        if not self._rpc.client_streams:
            self._note(request, outcome)
        self._tell(call, outcome)

    def _seen(self, request: Any, outcome: _Outcome) -> Any:
        """The request, of which it is noted what it is about."""
        if self._rpc.client_streams:
            return self._seen_first(request, outcome)
        self._note(request, outcome)
        return request

    async def _seen_first(
        self, requests: AsyncIterator[Message], outcome: _Outcome
    ) -> AsyncIterator[Message]:
        first = True
        async for request in requests:
            if first:
                self._note(request, outcome)
                first = False
            yield request

    def _note(self, request: Any, outcome: _Outcome) -> None:
        try:
            if isinstance(request, bytes):
                request = parse_request(self._rpc.request_class, request)
            outcome.paths = self._paths(request)
        except errors.TaskgateError:
            return  # the next stage raises it, too

    @contextmanager
    def _line(self, call: Call) -> Iterator[_Outcome]:
        outcome = _Outcome()
        try:
            yield outcome
        except errors.TaskgateError as error:
            call.aws_request_id = error.aws_request_id or call.aws_request_id
            outcome.code, outcome.reason = error.code.name, error.reason
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # AWS may have done it nevertheless.
            outcome.code = StatusCode.CANCELLED.name
            raise
        except BaseException:
            outcome.code, outcome.reason = StatusCode.INTERNAL.name, errors.BUG
            raise
        finally:
            self._tell(call, outcome)

    def _tell(self, call: Call, outcome: _Outcome) -> None:
        # What was refused before AWS was asked may have anything in the place of an id.
        unasked = outcome.code == StatusCode.INVALID_ARGUMENT.name and not call.aws_request_id
        told = _hidden if unasked else _told
        AUDIT.info(
            "audit",
            extra={
                "method": self._rpc.method,
                "group": self._action.group,
                "caller": call.caller,
                "target": call.target,
                "call_id": call.call_id,
                "code": outcome.code,
                "error_reason": outcome.reason,
                "aws_request_id": call.aws_request_id,
                "resources": [told(path) for path in outcome.paths[:MOST_RESOURCES]],
                "resource_count": len(outcome.paths),
                **({} if call.trace is None else {"trace_id": call.trace.trace}),
                **call.audit,
            },
        )


def _hidden(path: Path) -> str:
    """The AWS service of a path, and how deep it is."""
    service = path[0][1]
    return "/".join([service if service in SERVICES else "?", *("?" for _ in path[1:])])


def _told(path: Path) -> str:
    """A path, without what is no id."""
    return "/".join(key if ID.fullmatch(key) else "?" for _, key in path)
