"""Sends one call to AWS: runs boto3 in a thread, and converts its response or error."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from taskgate_server import errors
from taskgate_server.telemetry.logs import log_bug
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import AwsClient, CallTimeoutError, ClientResponse
from taskgate_server.upstream.aws_client.failures import CallLog, from_botocore
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
    """Sends calls to one AWS service, each in a thread.

    Args:
        connection: provides the client.
        executor: the threads, bounded.
        meter: counts the calls; None if metrics are disabled.
        tracer: makes spans of the calls; None if traces are disabled.
        wall_clock: seconds since 1970.
        clock: monotonic seconds.
        call_log: logs errors and odd values.
    """

    connection: Connection
    executor: Executor
    meter: AwsMeter | None = None
    tracer: AwsTracer | None = None
    wall_clock: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    call_log: CallLog = field(default_factory=CallLog)

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        *,
        timeout: float = math.inf,  # noqa: ASYNC109  # a thread cannot be cancelled
        on_sent: Callable[[], None] = lambda: None,
        on_ended: Callable[[], None] = lambda: None,
        spans: Sequence[Span] = (),
    ) -> AwsResponse:
        """Call an operation by its AWS name.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them.
            timeout: seconds until no requester waits for the response.
            on_sent: called in the event loop when the call is handed to a thread.
            on_ended: called in the event loop when AWS has responded or the call has timed out,
                possibly long after this method was cancelled.
            spans: of the RPCs that wait for the call.

        Raises:
            errors.TaskgateError: any failure.
        """
        client = await self.connection.get_client()
        give_up_at = self.clock() + timeout
        on_sent()
        response, thread = self._submit(client, operation, params, give_up_at, on_ended)
        started = self.clock()
        span = None
        if self.tracer is not None:
            span = self.tracer.begin(operation, spans, region=client.region)
        try:
            client_response = await response
        except asyncio.CancelledError:
            if thread.cancel():  # it has not started, and will not
                on_ended()
            elif self.meter is not None:
                self.meter.ended(operation, grpc.StatusCode.CANCELLED, self.clock() - started)
            self._end_span(span, "", "CANCELLED")
            raise
        except Exception as cause:
            error = self._convert(cause, client, self.origin(operation, params), timeout)
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

    def _submit(
        self,
        client: AwsClient,
        operation: str,
        params: Mapping[str, Any],
        give_up_at: float,
        on_ended: Callable[[], None],
    ) -> tuple[asyncio.Future[ClientResponse], Future[ClientResponse]]:
        """Make the call in a thread; return the future response and the thread's work."""
        loop = asyncio.get_running_loop()
        response: asyncio.Future[ClientResponse] = loop.create_future()
        call = self.executor.submit(client.call, operation, dict(params), give_up_at)

        def deliver() -> None:
            on_ended()
            if response.done():  # cancelled
                return
            if error := call.exception():
                response.set_exception(error)
            else:
                response.set_result(call.result())

        def wake(_: object) -> None:
            # The server may have stopped meanwhile.
            if not call.cancelled() and not loop.is_closed():
                # `asyncio.wrap_future` would wake the loop once more for `on_ended`.
                loop.call_soon_threadsafe(deliver)

        call.add_done_callback(wake)
        return response, call

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
        if isinstance(cause, CallTimeoutError):
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
