"""What surrounds every call: `_unary` and `_stream` list the stages, outermost first.

In: an `Rpc`. Out: the handler that grpc.aio takes. The stages are put around the behaviour once,
when the handler is made, not searched for at each call.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import Message
from grpc.aio import ServicerContext

from taskgate_server import errors
from taskgate_server.call_log import CallLog
from taskgate_server.calls import (
    READ_MASK_KEY,
    TARGET_KEY,
    Call,
    CallsInFlight,
    Handler,
    MethodCalls,
    Rpc,
    parse_request,
)
from taskgate_server.status import to_status
from taskgate_server.telemetry import log_bug
from taskgate_server.telemetry.spans import CURRENT, parse_traceparent

if TYPE_CHECKING:  # only who asks for metrics has their library imported
    from taskgate_server.telemetry.metrics import Metrics, RpcMeter
    from taskgate_server.telemetry.traces import RpcTracer, Traces

AWS_REQUEST_ID_KEY = "taskgate-aws-request-id"
"""Trailing metadata of a successful call: AWS's id of the request that answered it."""

MAX_AGE_KEY = "taskgate-max-age"
"""Metadata of a caller: seconds, fractions allowed, that the answer to an AWS RPC may be old."""

OBSERVE_TIME_KEY = "taskgate-observe-time"
"""Trailing metadata of an AWS RPC's answer: when AWS gave it, in ISO 8601. In the initial metadata,
too, of a call with `taskgate-max-age`."""

TRACE_PARENT = "traceparent"
"""Metadata of a caller: its trace, https://www.w3.org/TR/trace-context/."""

STATUS_KEY = "grpc-status-details-bin"
"""Where gRPC carries google.rpc.Status: https://github.com/grpc/proposal/blob/master/A66-otel-stats.md"""

RETRY_NOT: Final = ("grpc-retry-pushback-ms", "-1")
"""Trailing metadata of an error by which gRPC leaves a call alone that has a retry policy: what may
pass has been tried again here. https://github.com/grpc/proposal/blob/master/A6-client-retries.md"""


class CallIds:
    """Makes ids that no other call has: which process, and a number."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._numbers = itertools.count()

    def __call__(self) -> str:
        """The next one."""
        return f"{self._process}{next(self._numbers):06x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interceptors:
    """Makes handlers. Clock and ids are arguments, so that tests can tell what is logged."""

    in_flight: CallsInFlight
    call_log: CallLog
    clock: Callable[[], float] = time.monotonic
    make_call_id: Callable[[], str] = field(default_factory=CallIds)
    metrics: Metrics | None = None
    traces: Traces | None = None

    def handler(self, rpc: Rpc) -> Handler:
        """The handler of an RPC, with every stage around its behaviour."""
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[rpc.client_streams, rpc.server_streams]
        return make(
            self._stream(rpc) if rpc.server_streams else self._unary(rpc),
            # None: the message is parsed inside, where a fault becomes an error with details. Of a
            # deserializer's fault grpc.aio makes UNKNOWN with the exception's text.
            request_deserializer=None,
            response_serializer=_serialized,
        )

    def _observers(self, rpc: Rpc) -> _Observers:
        is_stream = rpc.client_streams or rpc.server_streams
        return _Observers(
            open=self.in_flight.of(rpc.method),
            meter=self.metrics.rpc(rpc.method, is_stream=is_stream) if self.metrics else None,
            tracer=self.traces.rpc(rpc.method) if self.traces else None,
        )

    def _unary(self, rpc: Rpc) -> Callable[[Any, ServicerContext[Any, Any]], Any]:
        observers = self._observers(rpc)

        async def handle(request: Any, context: ServicerContext[Any, Any]) -> Any:
            call = self._call(rpc, context)
            with _Served(self, call, observers):
                try:
                    _read_metadata(call, context)
                    response = await rpc.behaviour(_parsed(rpc, request), call)
                except Exception as error:  # noqa: BLE001  # nothing else may reach the wire
                    await _abort(call, context, error)
                else:
                    await _tell_source(call, context)
                    return response

        return handle

    def _stream(self, rpc: Rpc) -> Callable[[Any, ServicerContext[Any, Any]], Any]:
        observers = self._observers(rpc)

        # Writing, not yielding: a caller that goes away then ends the behaviour at once.
        async def handle(request: Any, context: ServicerContext[Any, Any]) -> None:
            call = self._call(rpc, context)
            with _Served(self, call, observers):
                try:
                    _read_metadata(call, context)
                    responses = rpc.behaviour(_parsed(rpc, request), call)
                    async with aclosing(responses):
                        async for response in responses:
                            await context.write(response)
                except Exception as error:  # noqa: BLE001  # nothing else may reach the wire
                    await _abort(call, context, error)
                else:
                    await _tell_source(call, context)

        return handle

    def _call(self, rpc: Rpc, context: ServicerContext[Any, Any]) -> Call:
        return Call(
            method=rpc.method,
            call_id=self.make_call_id(),
            time_remaining=context.time_remaining,
            wire=context,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observers:
    """Who looks at the calls of one RPC, beside the log."""

    open: MethodCalls
    meter: RpcMeter | None
    tracer: RpcTracer | None


class _Served:
    """Around a call: it is counted and traced while it lasts, and logged when it has ended."""

    __slots__ = (
        *("_before", "_call", "_interceptors", "_meter", "_open", "_span", "_started"),
        "_tracer",
    )

    def __init__(self, interceptors: Interceptors, call: Call, observers: _Observers) -> None:
        self._interceptors = interceptors
        self._call = call
        self._open = observers.open
        self._meter = observers.meter
        self._tracer = observers.tracer
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self._interceptors.clock()
        self._open.count += 1
        if self._meter is not None:
            self._meter.open += 1
        if self._tracer is not None:
            metadata = self._call.wire.invocation_metadata() if self._call.wire else None
            self._span = self._tracer.begin(metadata or ())
            self._call.trace = self._tracer.ids(self._span)
            self._before = CURRENT.set(self._span)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            # grpc.aio cancels a call when its client has gone or its deadline has passed.
            left = self._call.time_remaining()
            expired = left is not None and left <= 0
            ended = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            self._call.code = ended
        if self._tracer is not None:
            CURRENT.reset(self._before)
            self._tracer.end(self._span, self._call.code, self._call.aws_span)
        self._open.count -= 1
        seconds = self._interceptors.clock() - self._started
        self._interceptors.call_log.ended(self._call, seconds)
        if self._meter is not None:
            self._meter.open -= 1
            self._meter.ended(self._call.code, seconds)


def _serialized(response: Message | bytes) -> bytes:
    """A response's bytes; what many callers get comes serialized already."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _parsed(rpc: Rpc, request: Any) -> Any:
    """The request as its message, or a stream of requests as messages."""
    if rpc.takes_bytes:
        return request
    if rpc.client_streams:
        return _parsed_stream(rpc, request)
    return parse_request(rpc.request_class, request)


async def _parsed_stream(rpc: Rpc, requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for request in requests:
        yield parse_request(rpc.request_class, request)


def _read_metadata(call: Call, context: ServicerContext[Any, Any]) -> None:
    """What the caller's metadata says: whose answer, how old it may be, what of it is needed.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, an age is no number of seconds.
    """
    for key, value in context.invocation_metadata() or ():
        if key == MAX_AGE_KEY:
            call.max_age = _seconds(value)
        elif key == READ_MASK_KEY:
            call.fields = frozenset(name.strip() for name in _text(value).split(","))
        elif key == TARGET_KEY:
            call.target = _text(value)
        elif key == TRACE_PARENT and call.trace is None:
            call.trace = parse_traceparent(_text(value))


def _text(told: str | bytes) -> str:
    return told.decode("ascii", "replace") if isinstance(told, bytes) else told


def _seconds(told: str | bytes) -> float:
    try:
        seconds = float(told)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise errors.invalid_request({MAX_AGE_KEY: "must be a number of seconds, 0 or more"})
    return seconds


async def _tell_source(call: Call, context: ServicerContext[Any, Any]) -> None:
    """Tells when AWS gave the answer, and its id for it.

    Both are in the trailing metadata, which cost nothing. Initial metadata are a message of their
    own, a quarter of the CPU of a call, so they are for those who say how old an answer may be.
    """
    trailers = []
    if call.observe_time is not None:
        observed = _iso(call.observe_time)
        trailers.append((OBSERVE_TIME_KEY, observed))
        if call.max_age is not None:
            await context.send_initial_metadata(((OBSERVE_TIME_KEY, observed),))
    if call.aws_request_id:
        trailers.append((AWS_REQUEST_ID_KEY, call.aws_request_id))
    if trailers:
        context.set_trailing_metadata(tuple(trailers))


@lru_cache(maxsize=1024)  # what came in one batch was observed at one time
def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).isoformat()


async def _abort(call: Call, context: ServicerContext[Any, Any], error: Exception) -> None:
    """Every error as google.rpc.Status with its details; a bug without its insides."""
    if isinstance(error, errors.TaskgateError):
        told = error
        call.aws_request_id = told.aws_request_id or call.aws_request_id
    else:
        trace = {} if call.trace is None else {"trace_id": call.trace.trace}
        log_bug(error, method=call.method, call_id=call.call_id, **trace)
        told = errors.internal()
    call.code = told.code
    status = to_status(told, call.call_id)
    trailers = [(STATUS_KEY, status.SerializeToString())]
    if told.reason != errors.SERVER_STOPPING:
        trailers.append(RETRY_NOT)
    await context.abort(told.code, status.message, tuple(trailers))
