"""The path of every call, from gRPC or HTTP to the behaviour that serves it.

`stages.list_stages` lists the stages in the order in which a call passes them. Calls with and
without streams pass the same ones.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Protocol

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.calls import (
    CallContext,
    CallRecord,
    CallRequest,
    Encoding,
    Handler,
    Rpc,
    parse_request,
)
from taskgate_server.pipeline.refusals import Refusals
from taskgate_server.pipeline.response import (
    CallerLeftError,
    Context,
    send_error,
    send_source,
    unless_left,
)
from taskgate_server.telemetry.logs import log_bug

NO_REQUEST = CallRequest()


class Stage(Protocol):
    """A step that every call takes before its behaviour serves it."""

    async def enter(self, call: CallContext) -> CallContext:
        """Return the call with what this stage adds to it.

        What has to happen when the call ends is added to `CallRecord.ends`.

        Raises:
            errors.TaskgateError: the call is refused.
        """


def _number_calls() -> Callable[[], str]:
    """Return a function that makes call ids: a random prefix of the process, and a number."""
    process, numbers = secrets.token_hex(6), itertools.count()
    return lambda: f"{process}{next(numbers):06x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Serves the calls of RPCs.

    Args:
        stages: in the order in which a call passes them.
        refusals: delays and samples refused calls.
    """

    stages: Sequence[Stage]
    refusals: Refusals
    _make_call_id: Callable[[], str] = field(default_factory=_number_calls, init=False)

    def handler(self, rpc: Rpc) -> Handler:
        """Return the gRPC handler of an RPC.

        Every RPC is registered with a request stream: only then does gRPC call the handler before
        the message has arrived. On the wire, one message and a stream of one are the same.
        """
        if rpc.server_streams:
            return grpc.stream_stream_rpc_method_handler(self.serve(rpc))
        return grpc.stream_unary_rpc_method_handler(self.serve(rpc))

    def serve(
        self, rpc: Rpc, encoding: Encoding | None = None
    ) -> Callable[[object, Context], Awaitable[bytes | None]]:
        """Return a function that serves one call of an RPC.

        Args:
            rpc: the RPC.
            encoding: of the request messages; None for protobuf's binary format. Responses are
                always in that.
        """

        async def handle(_: object, context: Context) -> bytes | None:
            call = CallContext(rpc, self._make_call_id(), context, CallRecord(), encoding=encoding)
            response = None
            try:
                for stage in self.stages:
                    call = await stage.enter(call)
                request, call = _take_request(call)
                if rpc.server_streams:
                    await _write_responses(call, request, context)
                elif call.lifetime is None:
                    response = _serialize(await rpc.behaviour(request, call))
                else:
                    async with call.lifetime:
                        response = _serialize(await rpc.behaviour(request, call))
                await send_source(call, context)
            except asyncio.CancelledError:
                _note_cancellation(call)
                raise
            except Exception as error:  # noqa: BLE001  # nothing else may reach the caller
                request, call = None, call._replace(request=NO_REQUEST)  # see `_drop_frames`
                await self._fail(call, context, error)
            else:
                return response
            finally:
                _end(call)

        return handle

    async def _fail(self, call: CallContext, context: Context, error: Exception) -> NoReturn:
        """End the call with an error; one that is not a TaskgateError is a bug."""
        record = call.record
        if isinstance(error, CallerLeftError):
            record.code = grpc.StatusCode.CANCELLED
            raise asyncio.CancelledError from None  # as gRPC ends calls whose caller has left
        if isinstance(error, errors.TaskgateError):
            failure = error
            record.aws_request_id = failure.aws_request_id or record.aws_request_id
        else:
            trace = {} if record.trace is None else {"trace_id": record.trace.trace}
            log_bug(error, method=call.rpc.method, call_id=call.call_id, **trace)
            failure = errors.BugError()
        record.error, record.code = failure, failure.code
        _drop_frames(error)
        await self.refusals.hold(call, failure)
        _end(call)  # so that the audit line is written before the caller gets the error
        await send_error(call, context, failure)


class ServedRpc(NamedTuple):
    """An RPC, and the pipeline that its calls pass."""

    rpc: Rpc
    pipeline: Pipeline


def unknown_rpc(method: str) -> Rpc:
    """Return what serves a method that does not exist. It does not read the request.

    Args:
        method: its full name, as the caller sent it.
    """

    async def refuse(_: object, __: CallContext) -> NoReturn:
        raise errors.unknown_method(method)

    return Rpc(
        method=method,
        request_class=Empty,
        response_class=Empty,
        behaviour=refuse,
        takes_bytes=True,
        has_request=False,
    )


def _take_request(call: CallContext) -> tuple[Any, CallContext]:
    """Return the request as the behaviour takes it, and the call, without it if it is long."""
    rpc, request = call.rpc, call.request
    taken: Any
    if rpc.client_streams:
        taken = request.messages
    elif rpc.takes_bytes:
        taken = request.data
    else:
        taken = request.message or parse_request(rpc.request_class, request.data)
    return taken, call._replace(request=NO_REQUEST) if rpc.is_long else call


async def _write_responses(call: CallContext, request: Any, context: Context) -> None:
    # Writing, not yielding: when the caller leaves, the behaviour ends at once.
    async with (
        call.lifetime or nullcontext(),
        aclosing(call.rpc.behaviour(request, call)) as responses,
    ):
        async for response in responses:
            await unless_left(context.write(_serialize(response)))


def _serialize(response: Message | bytes) -> bytes:
    """Return a response's bytes; one that many callers share is serialized already."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _note_cancellation(call: CallContext) -> None:
    """Record how a call ended that gRPC has cancelled: its caller left, or its deadline passed."""
    seconds = call.time_remaining()
    is_late = seconds is not None and seconds <= 0
    call.record.code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED


def _drop_frames(error: BaseException) -> None:
    """Drop the frames in which an error arose, once it is logged.

    gRPC's exception for an aborted call refers to the call, and the call to it. With the frames,
    such a cycle would keep the request, maybe megabytes, until the garbage collector runs. The
    frame of the handler stays in it, so the handler drops the request, too.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


def _end(call: CallContext) -> None:
    """Run what the stages want to happen at the end of a call."""
    ends = call.record.ends
    while ends:
        ends.pop()(call)
    call.record.error = None  # see `_drop_frames`
