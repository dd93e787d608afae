"""Operations with a streamed payload: chunks of bounded size, in flat memory.

The first message has all fields but the payload, which follows in messages of its own. AWS's model
marks these operations.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any, Final, TypeVar

from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.calls import PAYLOAD_BYTES_KEY, Behaviour, CallContext
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.request_converter import Params
from taskgate_server.rpc.spool import Reservation, Spool, disk_errors
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.aws_client.uploads import UploadBody
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions

T = TypeVar("T")

UNSIGNED_BODY: Final = "v4-unsigned-body"
"""botocore's name for operations that sign no payload."""

READ_BYTES: Final = 256 * 1024
"""Bytes of an upload that are read from the spool at a time."""


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

    AWS requires the length of a payload in advance. A payload whose length the caller declares is
    passed on while it arrives. Others, and those that are signed, are gathered first.
    """

    async def serve(requests: AsyncIterator[Message], call: CallContext) -> Message:
        member = _member(operation.model.input_shape)
        payload = _Payload(_field(operation.request_class, member), requests, limits)
        options = CallOptions.of(call)
        if options.timeout is None:
            # A payload may take longer than other calls; the limits of the socket still apply.
            options = replace(options, timeout=math.inf)
        is_signed = operation.model.auth_type != UNSIGNED_BODY
        declared = call.payload_bytes
        params = await payload.begin(operation.to_params)
        if declared is not None and not is_signed:
            response = await _pass_on(
                payload, declared, operation, params, member, gateway, options
            )
        else:
            with (
                limits.spool.upload(call.requester) as reservation,
                limits.spool.file(limits.spool_memory_bytes) as file,
            ):
                gathering = _Gathering(payload, file, limits, reservation)
                await gathering.run(declared)
                params[member] = gathering.body(is_signed=is_signed)
                response = await gateway.call(operation.name, params, options)
        call.record.aws_request_id, call.record.aws_span = response.request_id, response.span
        return operation.to_message(response.value)

    return serve


@dataclass(slots=True)
class _Payload:
    """The payload in the messages of a call."""

    field: str
    requests: AsyncIterator[Message]
    limits: StreamLimits
    first: bytes = b""

    async def begin(self, to_params: Callable[[Message], Params]) -> Params:
        """Return the parameters in the first message.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT.
        """
        request = await anext(self.requests, None)
        if request is None:
            raise errors.invalid_request({"": "needs at least one message"})
        params = to_params(request)
        self.first = getattr(request, self.field)
        return params

    async def parts(self, declared: int | None) -> AsyncIterator[bytes]:
        """Yield the bytes of each message; those of the last one once it is known to be the last.

        Args:
            declared: how many bytes there must be; None if the caller does not say.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT, there are too many or too few.
        """
        part = self.first
        size = len(part)
        self._demand_length(declared or size)
        async for request in self.requests:
            self._demand_payload_only(request)
            following = getattr(request, self.field)
            size += len(following)
            self._demand_length(size)
            if declared is not None and size > declared:
                break
            yield part
            part = following
        if declared is not None and size != declared:
            fault = f"has other than the {declared} bytes that {PAYLOAD_BYTES_KEY} declares"
            raise errors.invalid_request({self.field: fault})
        yield part

    def _demand_length(self, size: int) -> None:
        if size > self.limits.max_upload_bytes:
            fault = (
                f"is longer than the {self.limits.max_upload_bytes} bytes that this server takes"
            )
            raise errors.invalid_request({self.field: fault})

    def _demand_payload_only(self, request: Message) -> None:
        others = [field.name for field, _ in request.ListFields() if field.name != self.field]
        if others:
            raise errors.invalid_request(dict.fromkeys(others, "may be in the first message only"))


async def _pass_on(  # noqa: PLR0913, PLR0917  # what a call consists of
    payload: _Payload,
    declared: int,
    operation: Operation,
    params: Params,
    member: str,
    gateway: Gateway,
    options: CallOptions,
) -> AwsResponse:
    """Call AWS with a payload that is still arriving; it cannot be sent twice."""
    faults: list[errors.TaskgateError] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for part in payload.parts(declared):
                yield part
        except errors.TaskgateError as error:
            faults.append(error)
            raise

    params[member] = UploadBody(declared, chunks)
    try:
        return await gateway.call(operation.name, params, replace(options, may_retry=False))
    except errors.TaskgateError as error:
        # The fault of the payload has cut the connection to AWS, whatever AWS has made of it.
        raise next(iter(faults), error) from None


@dataclass(slots=True)
class _Gathering:
    """Gathers a payload in the spool."""

    payload: _Payload
    file: IO[bytes]
    limits: StreamLimits
    reservation: Reservation
    _hash: Any = dataclasses.field(default_factory=hashlib.sha256)

    def body(self, *, is_signed: bool) -> UploadBody:
        """Return the body of AWS's request, once the payload is gathered."""
        sha256 = self._hash.hexdigest() if is_signed else None
        return UploadBody(self.reservation.size, self._chunks, sha256)

    async def run(self, declared: int | None) -> None:
        """Read all messages; see `_Payload.parts`.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT; RESOURCE_EXHAUSTED, the spool is full; or
                FAILED_PRECONDITION, it cannot be written.
        """
        async for part in self.payload.parts(declared):
            if part:
                self.reservation.add(len(part))
                await self._in_thread(partial(self._write, part))

    async def _chunks(self) -> AsyncIterator[bytes]:
        await self._in_thread(partial(self.file.seek, 0))  # it writes the buffer to the disk
        while data := await self._in_thread(partial(self.file.read, READ_BYTES)):
            yield data

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self._hash.update(data)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run work that may wait for a disk."""
        with disk_errors():
            return await asyncio.get_running_loop().run_in_executor(
                self.limits.spool.executor, work
            )


def _field(message: type[Message], member: str) -> str:
    """Return the field of the payload; it is `payload_v2` if AWS has changed its type."""
    fields: Any = message.DESCRIPTOR.fields
    return next(str(field.name) for field in fields if field.json_name == member)


def _member(shape: model.StructureShape | None) -> str:
    member = model.streaming_member(shape)
    if member is None:
        raise TypeError("the contract has a stream where the model has none")
    return member
