"""What surrounds every call: `_serve` is the list of the stages, outermost first.

In: an `Rpc`. Out: the handler that grpc.aio takes. The stages are put around the behaviour once,
when the handler is made, not searched for at each call.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc.aio import ServicerContext

from taskgate_server import errors
from taskgate_server.calls import Call, CallsInFlight, Handler, Rpc
from taskgate_server.status import to_status
from taskgate_server.telemetry import LOG, log_bug

AWS_REQUEST_ID_KEY = "taskgate-aws-request-id"
"""Trailing metadata of a successful call: AWS's id of the request that answered it."""

MAX_AGE_KEY = "taskgate-max-age"
"""Metadata of a caller: seconds, fractions allowed, that the answer to an AWS RPC may be old."""

OBSERVE_TIME_KEY = "taskgate-observe-time"
"""Initial metadata of an AWS RPC's answer: when AWS gave it, in ISO 8601."""

STATUS_KEY = "grpc-status-details-bin"
"""Where gRPC carries google.rpc.Status: https://github.com/grpc/proposal/blob/master/A66-otel-stats.md"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interceptors:
    """Makes handlers. Clock and ids are arguments, so that tests can tell what is logged."""

    in_flight: CallsInFlight
    clock: Callable[[], float] = time.monotonic
    make_call_id: Callable[[], str] = lambda: secrets.token_hex(8)

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

    def _unary(self, rpc: Rpc) -> Callable[[Any, ServicerContext[Any, Any]], Any]:
        async def handle(request: Any, context: ServicerContext[Any, Any]) -> Any:
            async with self._serve(rpc, context) as call:
                return await rpc.behaviour(_parsed(rpc, request), call)

        return handle

    def _stream(self, rpc: Rpc) -> Callable[[Any, ServicerContext[Any, Any]], Any]:
        # Writing, not yielding: a caller that goes away then ends the behaviour at once.
        async def handle(request: Any, context: ServicerContext[Any, Any]) -> None:
            async with (
                self._serve(rpc, context) as call,
                aclosing(rpc.behaviour(_parsed(rpc, request), call)) as responses,
            ):
                async for response in responses:
                    await context.write(response)

        return handle

    @asynccontextmanager
    async def _serve(self, rpc: Rpc, context: ServicerContext[Any, Any]) -> AsyncIterator[Call]:
        call = Call(
            method=rpc.method,
            call_id=self.make_call_id(),
            time_remaining=context.time_remaining,
        )
        async with self._logged(call), _told(call, context):
            call.max_age = _max_age(context)
            yield call

    @asynccontextmanager
    async def _logged(self, call: Call) -> AsyncIterator[None]:
        """One line for each call: who was called, how it ended, how long it took."""
        started = self.clock()
        self.in_flight.count += 1
        try:
            yield
        except asyncio.CancelledError:
            # grpc.aio cancels a call when its client has gone or its deadline has passed.
            left = call.time_remaining()
            expired = left is not None and left <= 0
            ended = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            call.code = ended
            raise
        finally:
            self.in_flight.count -= 1
            LOG.info(
                "call",
                extra={
                    "method": call.method,
                    "code": call.code.name,
                    "duration_ms": round((self.clock() - started) * 1000, 3),
                    "call_id": call.call_id,
                    "aws_request_id": call.aws_request_id,
                },
            )


def _serialized(response: Message | bytes) -> bytes:
    """A response's bytes; what many callers get comes serialized already."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _parsed(rpc: Rpc, request: Any) -> Any:
    """The request as its message, or a stream of requests as messages."""
    return _parsed_stream(rpc, request) if rpc.client_streams else _parse(rpc, request)


async def _parsed_stream(rpc: Rpc, requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for request in requests:
        yield _parse(rpc, request)


def _parse(rpc: Rpc, request: bytes) -> Message:
    try:
        return rpc.request_class.FromString(request)
    except DecodeError:
        name = rpc.request_class.DESCRIPTOR.full_name
        raise errors.invalid_request({"": f"is no {name}"}) from None


def _max_age(context: ServicerContext[Any, Any]) -> float | None:
    """What the caller's metadata says of how old its answer may be.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is no number of seconds.
    """
    told = next(
        (value for key, value in context.invocation_metadata() or () if key == MAX_AGE_KEY), None
    )
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise errors.invalid_request({MAX_AGE_KEY: "must be a number of seconds, 0 or more"})
    return seconds


@asynccontextmanager
async def _told(call: Call, context: ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Every error as google.rpc.Status with its details; a bug without its insides."""
    try:
        yield
    except errors.TaskgateError as error:
        call.aws_request_id = error.aws_request_id or call.aws_request_id
        await _abort(call, context, error)
    except Exception as error:  # noqa: BLE001  # nothing else may reach the wire
        log_bug(error, method=call.method, call_id=call.call_id)
        await _abort(call, context, errors.internal())
    else:
        if call.observe_time is not None:
            observed = datetime.fromtimestamp(call.observe_time, tz=UTC).isoformat()
            await context.send_initial_metadata(((OBSERVE_TIME_KEY, observed),))
        if call.aws_request_id:
            context.set_trailing_metadata(((AWS_REQUEST_ID_KEY, call.aws_request_id),))


async def _abort(
    call: Call, context: ServicerContext[Any, Any], error: errors.TaskgateError
) -> None:
    call.code = error.code
    status = to_status(error, call.call_id)
    trailers = ((STATUS_KEY, status.SerializeToString()),)
    await context.abort(error.code, status.message, trailers)
