"""Sends one call to AWS within a time limit, and converts its response or error."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from taskgate_server import errors
from taskgate_server.telemetry.logs import log_bug
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import AwsClient
from taskgate_server.upstream.aws_client.failures import CallLog, from_botocore
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Share
from taskgate_server.upstream.request import resource_name
from taskgate_server.upstream.retries import is_throttle

if TYPE_CHECKING:  # their libraries are imported only if metrics and traces are enabled
    from opentelemetry.trace import Span

    from taskgate_server.telemetry.metrics import AwsMeter
    from taskgate_server.telemetry.spans import TracedCall
    from taskgate_server.telemetry.traces import AwsTracer


@dataclass(slots=True, kw_only=True)
class AwsResponse:
    """The response of one operation. It is shared: nothing changes but `forms`."""

    value: dict[str, Any]
    """AWS's JSON, including the members that came in headers."""
    request_id: str
    observe_time: float
    """When the response arrived, in seconds since 1970."""
    size: int = 0
    """Bytes of the body."""
    span: TracedCall | None = None
    """The call in a trace; None if it is not traced."""
    forms: dict[Hashable, bytes] = field(default_factory=dict)
    """Serialized responses to callers, so that each is encoded once."""

    def part(self, value: dict[str, Any], size: int) -> AwsResponse:
        """Return the response of one item of a batch."""
        return AwsResponse(
            value=value,
            request_id=self.request_id,
            observe_time=self.observe_time,
            size=size,
            span=self.span,
        )


Outcome: TypeAlias = AwsResponse | errors.TaskgateError
"""The result of a call."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends calls to one AWS service.

    Args:
        connection: provides the client.
        meter: counts the calls; None if metrics are disabled.
        tracer: makes spans of the calls; None if traces are disabled.
        wall_clock: seconds since 1970.
        clock: monotonic seconds.
        call_log: logs errors and odd values.
    """

    connection: Connection
    meter: AwsMeter | None = None
    tracer: AwsTracer | None = None
    wall_clock: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    call_log: CallLog = field(default_factory=CallLog)

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,
        on_sent: Callable[[], None] = lambda: None,
    ) -> AwsResponse:
        """Call an operation by its AWS name.

        The connection is closed when the call is cancelled, and when its last requester leaves or
        gives up.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them.
            requesters: who waits for the call; they may change until it ends.
            on_sent: called when the call is sent.

        Raises:
            errors.TaskgateError: any failure.
        """
        client = await self.connection.get_client()
        on_sent()
        started = self.clock()
        span = None
        if self.tracer is not None:
            span = self.tracer.begin(operation, requesters.spans, region=client.region)
        seconds = requesters.give_up_at - started
        try:
            if seconds <= 0:
                raise TimeoutError  # noqa: TRY301  # handled like the end of the time below
            async with _while_awaited(requesters, self.clock):
                client_response = await client.call(operation, params)
        except asyncio.CancelledError:
            if self.meter is not None:
                self.meter.ended(operation, grpc.StatusCode.CANCELLED, self.clock() - started)
            self._end_span(span, "", "CANCELLED")
            raise
        except Exception as cause:
            error = self._convert(cause, client, self.origin(operation, params), seconds)
            self._count(operation, started, error)
            self._end_span(span, error.aws_request_id, error.reason)
            raise error from cause
        self.connection.record_accepted(client, operation)
        self._count(operation, started)
        if client_response.odd_members:
            self.call_log.log_odd_members(operation, client_response.odd_members)
            if self.meter is not None:
                self.meter.odd_values(operation, len(client_response.odd_members))
        return AwsResponse(
            value=client_response.value,
            request_id=client_response.request_id,
            observe_time=self.wall_clock(),
            size=client_response.size,
            span=self._end_span(span, client_response.request_id),
        )

    def origin(self, operation: str, params: Mapping[str, Any] | None = None) -> errors.Origin:
        """Return which call an error is about; the parameters of boto3 name its resource."""
        spec, client = self.connection.spec, self.connection.client
        return replace(
            errors.origin_of(spec, operation),
            resource=resource_name(spec.name, operation, params) if params else "",
            endpoint=client.endpoint if client else "",
        )

    def _count(
        self, operation: str, started: float, error: errors.TaskgateError | None = None
    ) -> None:
        if self.meter is None:
            return
        code = grpc.StatusCode.OK if error is None else error.code
        self.meter.ended(operation, code, self.clock() - started)
        if error is not None and is_throttle(error):
            self.meter.throttled(operation)

    def _end_span(
        self, span: Span | None, request_id: str, error_reason: str = ""
    ) -> TracedCall | None:
        if self.tracer is None or span is None:
            return None
        return self.tracer.end(span, request_id, error_reason)

    def _convert(
        self, cause: Exception, client: AwsClient, origin: errors.Origin, timeout: float
    ) -> errors.TaskgateError:
        if isinstance(cause, TimeoutError):
            return errors.TimeLimitError(origin, timeout)
        error = from_botocore(cause, origin)
        self.call_log.log_error(error, cause, origin)
        if isinstance(error, errors.CredentialsMissingError):
            self.connection.discard(client, error)
        elif isinstance(error, errors.CredentialsRefusedError):
            self.connection.record_refused(client, origin.operation, error)
        if isinstance(error, errors.BugError):
            log_bug(cause, operation=origin.operation)
        return error


@asynccontextmanager
async def _while_awaited(requesters: Requesters, clock: Callable[[], float]) -> AsyncIterator[None]:
    """Enclose a call, which is cancelled when its last requester leaves or gives up.

    Raises:
        TimeoutError: it was cancelled.
    """
    async with asyncio.timeout(None) as scope:
        end = _EndOfWait(scope, requesters, clock)
        end.extend(requesters.give_up_at)
        requesters.add_listener(end)
        try:
            yield
        finally:
            requesters.remove_listener(end)


class _EndOfWait:
    """Ends a call when no requester waits for it; listens to its requesters."""

    def __init__(
        self, scope: asyncio.Timeout, requesters: Requesters, clock: Callable[[], float]
    ) -> None:
        self._scope = scope
        self._requesters = requesters
        self._clock = clock

    def add(self, share: Share) -> None:
        """See `in_flight.Listener`."""

    def remove(self, share: Share) -> None:  # noqa: ARG002  # only the last one matters
        """See `in_flight.Listener`."""
        if not self._requesters.shares:
            self._end_in(0.0)

    def extend(self, give_up_at: float) -> None:
        """See `in_flight.Listener`."""
        if give_up_at != math.inf:
            self._end_in(give_up_at - self._clock())

    def _end_in(self, seconds: float) -> None:
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time() + seconds)
