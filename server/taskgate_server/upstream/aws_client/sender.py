"""One call of boto3: the connection, a thread, an answer or an error in Taskgate's words."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from taskgate_server import errors
from taskgate_server.telemetry import log_bug
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import AwsClient, CallersGoneError, Reply
from taskgate_server.upstream.aws_client.failures import from_botocore
from taskgate_server.upstream.aws_client.odd_values import OddValueLog
from taskgate_server.upstream.error_log import ErrorLog
from taskgate_server.upstream.retries import is_throttle

if TYPE_CHECKING:  # only who asks for metrics and traces has their libraries imported
    from opentelemetry.trace import Span

    from taskgate_server.telemetry.metrics import AwsMeter
    from taskgate_server.telemetry.spans import TracedCall
    from taskgate_server.telemetry.traces import AwsTracer


@dataclass(slots=True, kw_only=True)
class AwsResponse:
    """What AWS answered to one operation. Many may have it: nobody changes it but for `forms`."""

    value: dict[str, Any]
    """AWS's JSON, with the members that came in headers beside it."""
    request_id: str
    observe_time: float
    """When the answer came, in seconds since 1970."""
    size: int = 0
    """Bytes of the body."""
    span: TracedCall | None = None
    """The call in a trace; None where it is in none."""
    forms: dict[Hashable, bytes] = field(default_factory=dict)
    """What it has been made into for callers, so that it is made once."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends calls to one AWS service, each in a thread.

    Args:
        connection: gives the client.
        executor: its threads, bounded.
        meter: counts the calls; None for nobody.
        tracer: makes spans of them; the same.
        wall_clock: seconds since 1970.
        clock: monotonic seconds.
        error_log: gets the texts of errors that callers do not get.
        odd_values: logs values that do not fit AWS's model.
    """

    connection: Connection
    executor: Executor
    meter: AwsMeter | None = None
    tracer: AwsTracer | None = None
    wall_clock: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    error_log: ErrorLog = field(default_factory=ErrorLog)
    odd_values: OddValueLog = field(default_factory=OddValueLog)

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        *,
        time_limit: float = math.inf,
        leaving: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
        causes: Sequence[Span] = (),
    ) -> AwsResponse:
        """Call an operation by its AWS name.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them.
            time_limit: seconds after which nobody waits for the response.
            leaving: called in the event loop when the call goes to a thread.
            ended: called in the event loop when AWS has responded or the call is given up, which
                may be long after whoever waited for it has gone.
            causes: the spans of the RPCs that wait for it.

        Raises:
            errors.TaskgateError: whatever went wrong.
        """
        client = await self.connection.ready()
        give_up_at = self.clock() + time_limit
        leaving()
        answered, call = self._submit(client, operation, params, give_up_at, ended)
        began = self.clock()
        span = None
        if self.tracer is not None:
            span = self.tracer.begin(operation, causes, region=client.region)
        try:
            reply = await answered
        except asyncio.CancelledError:
            if call.cancel():  # it has not left, and will not
                ended()
            elif self.meter is not None:
                self.meter.ended(operation, grpc.StatusCode.CANCELLED, self.clock() - began)
            self._traced(span, "", "CANCELLED")
            raise
        except Exception as error:
            told = self._told(error, client, self.origin(operation, params), time_limit)
            self._count(operation, began, told)
            self._traced(span, told.aws_request_id, told.reason)
            raise told from error
        self.connection.accepted(client, operation)
        self._count(operation, began)
        return self._answer(operation, reply, self._traced(span, reply.request_id))

    def _answer(self, operation: str, reply: Reply, span: TracedCall | None) -> AwsResponse:
        if reply.odd:
            self.odd_values.note(operation, reply.odd)
            if self.meter is not None:
                self.meter.odd_values(operation, len(reply.odd))
        return AwsResponse(
            value=reply.value,
            request_id=reply.request_id,
            observe_time=self.wall_clock(),
            size=reply.size,
            span=span,
        )

    def _submit(
        self,
        client: AwsClient,
        operation: str,
        params: Mapping[str, Any],
        give_up_at: float,
        ended: Callable[[], None],
    ) -> tuple[asyncio.Future[Reply], Future[None]]:
        """Have a thread make the call: the response to be, and the thread's work."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Reply] = loop.create_future()

        def work() -> None:
            outcome: Reply | Exception
            try:
                outcome = client.call(operation, dict(params), give_up_at - self.clock())
            except Exception as error:  # noqa: BLE001  # it is raised where the answer is awaited
                outcome = error
            _tell(loop, answered, outcome, ended)

        return answered, self.executor.submit(work)

    def origin(self, operation: str, params: Mapping[str, Any] | None = None) -> errors.Origin:
        """Return which call an error is of.

        Args:
            operation: its AWS name.
            params: of boto3, which name the resource; None where errors have none.
        """
        spec, client = self.connection.spec, self.connection.client
        return errors.Origin(
            service=spec.name,
            title=spec.title,
            domain=spec.error_domain,
            operation=operation,
            resource=_resource_name(spec.name, operation, params) if params else "",
            endpoint=client.endpoint if client else "",
        )

    def _count(
        self, operation: str, began: float, error: errors.TaskgateError | None = None
    ) -> None:
        if self.meter is None:
            return
        code = grpc.StatusCode.OK if error is None else error.code
        self.meter.ended(operation, code, self.clock() - began)
        if error is not None and is_throttle(error):
            self.meter.throttled(operation)

    def _traced(
        self, span: Span | None, request_id: str, error_reason: str = ""
    ) -> TracedCall | None:
        if self.tracer is None or span is None:
            return None
        return self.tracer.end(span, request_id, error_reason)

    def _told(
        self, error: Exception, client: AwsClient, origin: errors.Origin, time_limit: float
    ) -> errors.TaskgateError:
        if isinstance(error, CallersGoneError):
            return errors.TimeLimitError(origin, time_limit)
        told = from_botocore(error, origin)
        self.error_log.failed(told, error, origin)
        if isinstance(told, errors.CredentialsMissingError):
            self.connection.lose(client, told)
        elif isinstance(told, errors.CredentialsRefusedError):
            self.connection.refused(client, origin.operation, told)
        if isinstance(told, errors.BugError):
            log_bug(error, operation=origin.operation)
        return told


def _tell(
    loop: asyncio.AbstractEventLoop,
    answered: asyncio.Future[Reply],
    outcome: Reply | Exception,
    ended: Callable[[], None],
) -> None:
    """Called in the thread. The loop may be gone by then, and with it whoever wanted to know.

    One wake-up of the loop for all there is to tell; `asyncio.wrap_future` would need another.
    """

    def told() -> None:
        ended()
        if answered.done():  # cancelled: nobody waits
            return
        if isinstance(outcome, Exception):
            answered.set_exception(outcome)
        else:
            answered.set_result(outcome)

    if not loop.is_closed():
        loop.call_soon_threadsafe(told)


def _resource_name(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """See `resources.resource_name`. It loads AWS's model; the server listens before that."""
    from taskgate_server.upstream.resources import resource_name  # noqa: PLC0415  # see above

    return resource_name(service, operation, params)
