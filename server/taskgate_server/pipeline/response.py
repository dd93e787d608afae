"""The end of a call on the wire: google.rpc.Status for an error, metadata for a response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NoReturn, Protocol, TypeAlias, TypeVar

import grpc

from taskgate_server import errors
from taskgate_server.calls import CallContext, Wire
from taskgate_server.status import to_status

T = TypeVar("T")
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

AWS_REQUEST_ID_KEY: Final = "taskgate-aws-request-id"
"""Trailing metadata of a successful call: AWS's id of the request that the response is from."""

OBSERVE_TIME_KEY: Final = "taskgate-observe-time"
"""Trailing metadata of an AWS RPC: when AWS sent the response, in ISO 8601."""

STATUS_KEY: Final = "grpc-status-details-bin"
"""Where gRPC carries google.rpc.Status: https://github.com/grpc/proposal/blob/master/A66-otel-stats.md"""

NO_RETRY: Final = ("grpc-retry-pushback-ms", "-1")
"""Trailing metadata of an error that a client's retry policy must not retry: the server has retried
already. https://github.com/grpc/proposal/blob/master/A6-client-retries.md"""


class Context(Wire, Protocol):
    """The caller's end of a call, with its response."""

    def write(self, message: bytes) -> Awaitable[None]:
        """Send a message of the response stream."""

    def send_initial_metadata(self, initial_metadata: Metadata) -> Awaitable[None]:
        """Send metadata before the response."""

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Set the metadata that follow the response."""

    def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata
    ) -> Awaitable[NoReturn]:
        """End the call with an error.

        Raises:
            grpc.aio.AbortError: always.
        """


async def send_source(call: CallContext, context: Context) -> None:
    """Send when AWS sent the response, and AWS's id of the request, to a caller that wants them.

    Trailing metadata cost a tenth of the CPU of a cached call. Initial metadata are a message of
    their own and cost a quarter: only callers that limit the age of a response get them.
    """
    if not call.report_source and call.max_age is None:
        return
    trailers = []
    record = call.record
    if record.observe_time is not None:
        observed = _iso(record.observe_time)
        trailers.append((OBSERVE_TIME_KEY, observed))
        if call.max_age is not None:
            await unless_left(context.send_initial_metadata(((OBSERVE_TIME_KEY, observed),)))
    if record.aws_request_id:
        trailers.append((AWS_REQUEST_ID_KEY, record.aws_request_id))
    if trailers:
        context.set_trailing_metadata(tuple(trailers))


class CallerLeftError(Exception):
    """Nothing can be sent or received any more, since the caller's stream is gone."""


async def unless_left(operation: Awaitable[T]) -> T:
    """Return the result of an operation on the stream of a call.

    Raises:
        CallerLeftError: the caller has left.
        errors.TaskgateError: a request over HTTP cannot be read.
    """
    try:
        return await operation
    except errors.TaskgateError:
        raise
    except Exception as error:
        # gRPC raises ExecuteBatchError, UsageError or InternalError, none of them in its API.
        raise CallerLeftError from error


async def send_error(call: CallContext, context: Context, error: errors.TaskgateError) -> NoReturn:
    """End the call with an error and its details.

    Raises:
        grpc.aio.AbortError: always, for gRPC.
        asyncio.CancelledError: the caller has left; likewise.
    """
    status = to_status(error, call.call_id)
    trailers = [(STATUS_KEY, status.SerializeToString())]
    if not isinstance(error, errors.ServerStoppingError):
        trailers.append(NO_RETRY)
    try:
        await context.abort(error.code, status.message, tuple(trailers))
    except grpc.aio.AbortError:
        raise
    except Exception:  # noqa: BLE001  # see `unless_left`
        raise asyncio.CancelledError from None
    raise AssertionError("abort always raises")


@lru_cache(maxsize=1024)  # the responses of one batch have the same time
def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).isoformat()
