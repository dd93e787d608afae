"""Operations with a streamed payload: chunks of bounded size, in flat memory.

The first message has all fields but the payload, which follows in messages of its own. AWS's model
marks these operations.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any

from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.calls import Behaviour, CallContext
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.request_converter import Params
from taskgate_server.rpc.spool import Reservation, Spool, disk_errors
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Limits of payloads."""

    chunk_bytes: int
    """Bytes of payload in one response message."""
    spool_memory_bytes: int
    """Bytes of an upload that are buffered in memory; the rest goes to a temporary file."""
    max_upload_bytes: int
    """Maximum bytes of an upload."""
    spool: Spool
    """Bounds the bytes of all uploads."""


def download(operation: Operation, gateway: Gateway, limits: StreamLimits) -> Behaviour:
    """Return the behaviour of an operation with a response stream."""

    async def serve(request: Message, call: CallContext) -> AsyncIterator[Message]:
        params = operation.to_params(request)
        response = await gateway.call(operation.name, params, CallOptions.of(call))
        call.record.aws_request_id, call.record.aws_span = response.request_id, response.span
        member = _member(operation.model.output_shape)
        field = _field(operation.response_class, member)
        with closing(gateway.streamed_body(operation.name, response.value.pop(member))) as body:
            yield operation.to_message(response.value)
            async with aclosing(body.chunks(limits.chunk_bytes)) as chunks:
                async for chunk in chunks:
                    yield operation.response_class(**{field: chunk})

    return serve


def upload(operation: Operation, gateway: Gateway, limits: StreamLimits) -> Behaviour:
    """Return the behaviour of an operation with a request stream.

    boto3 signs the length of a payload, so the payload is gathered before it is sent.
    """

    async def serve(requests: AsyncIterator[Message], call: CallContext) -> Message:
        member = _member(operation.model.input_shape)
        field = _field(operation.request_class, member)
        with (
            limits.spool.upload(call.requester) as reservation,
            limits.spool.file(limits.spool_memory_bytes) as file,
        ):
            gathering = _Gathering(field, file, gateway.payload_executor, limits, reservation)
            params = await gathering.run(requests, operation.to_params)
            params[member] = file
            options = CallOptions.of(call)
            if options.timeout is None:
                # A payload may take longer than other calls; the limits of the socket still apply.
                options = replace(options, timeout=math.inf)
            response = await gateway.call(operation.name, params, options)
        call.record.aws_request_id, call.record.aws_span = response.request_id, response.span
        return operation.to_message(response.value)

    return serve


@dataclass(slots=True)
class _Gathering:
    """Gathers a payload in the spool."""

    field: str
    file: IO[bytes]
    executor: Executor
    limits: StreamLimits
    reservation: Reservation

    async def run(
        self, requests: AsyncIterator[Message], to_params: Callable[[Message], Params]
    ) -> Params:
        """Read all messages; return the parameters of the first one, which are validated at once.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT; RESOURCE_EXHAUSTED, the spool is full; or
                FAILED_PRECONDITION, it cannot be written.
        """
        params: Params | None = None
        async for request in requests:
            if params is None:
                params = to_params(request)
            else:
                self._demand_payload_only(request)
            await self._add(getattr(request, self.field))
        if params is None:
            raise errors.invalid_request({"": "needs at least one message"})
        await self._in_thread(partial(self.file.seek, 0))  # it writes the buffer to the disk
        return params

    def _demand_payload_only(self, request: Message) -> None:
        others = [field.name for field, _ in request.ListFields() if field.name != self.field]
        if others:
            raise errors.invalid_request(dict.fromkeys(others, "may be in the first message only"))

    async def _add(self, data: bytes) -> None:
        if self.reservation.size + len(data) > self.limits.max_upload_bytes:
            fault = (
                f"is longer than the {self.limits.max_upload_bytes} bytes that this server takes"
            )
            raise errors.invalid_request({self.field: fault})
        if data:
            self.reservation.add(len(data))
            await self._in_thread(partial(self.file.write, data))

    async def _in_thread(self, work: Callable[[], int]) -> None:
        """Run work that may wait for a disk."""
        loop = asyncio.get_running_loop()
        with disk_errors():
            await loop.run_in_executor(self.executor, work)


def _field(message: type[Message], member: str) -> str:
    """Return the field of the payload; it is `payload_v2` if AWS has changed its type."""
    fields: Any = message.DESCRIPTOR.fields
    return next(str(field.name) for field in fields if field.json_name == member)


def _member(shape: model.StructureShape | None) -> str:
    member = model.streaming_member(shape)
    if member is None:
        raise TypeError("the contract has a stream where the model has none")
    return member
