"""The server that Connect's conformance suite judges: its service, on this project's HTTP port.

The runner starts it, writes a ServerCompatRequest to its standard input, and reads a
ServerCompatResponse from its standard output:
https://github.com/connectrpc/conformance/blob/main/docs/testing_servers.md

    python -m tests.http.conformance_server FOLDER_WITH_PROTOS
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs

import grpc
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_tools import protoc

from taskgate_server.calls import CallContext, Rpc
from taskgate_server.config import PLAINTEXT_PHRASE, Settings
from taskgate_server.http import http_call, rpc_application
from taskgate_server.http.port import build_port
from taskgate_server.http.sources import HttpSources
from taskgate_server.large_requests import LargeRequests
from taskgate_server.pipeline.pipeline import Pipeline, ServedRpc, unknown_rpc
from taskgate_server.pipeline.reception import Reception
from taskgate_server.pipeline.refusals import Refusals
from taskgate_server.pipeline.response import STATUS_KEY, Context
from taskgate_server.tls import load_certificates

PACKAGE = "connectrpc.conformance.v1"
SERVICE = f"{PACKAGE}.ConformanceService"
HOST = "127.0.0.1"


def load_protos(folder: Path) -> None:
    """Add the suite's files to the default pool of descriptors."""
    with tempfile.NamedTemporaryFile() as compiled:
        well_known = str(files("grpc_tools") / "_proto")
        options = ["", f"-I{folder}", f"-I{well_known}", "--include_imports"]
        sources = [str(path) for path in sorted(folder.rglob("*.proto"))]
        if protoc.main([*options, f"--descriptor_set_out={compiled.name}", *sources]) != 0:
            raise RuntimeError("protoc failed")
        pool: Any = descriptor_pool.Default()
        for file in FileDescriptorSet.FromString(compiled.read()).file:
            try:
                pool.FindFileByName(file.name)
            except KeyError:
                pool.AddSerializedFile(file.SerializeToString())


def kind(name: str) -> type[Any]:
    """Return the class of one of the suite's messages."""
    pool: Any = descriptor_pool.Default()
    found: type[Any] = message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
    )
    return found


class RequestedError(Exception):
    """The error that a request wants as its response."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class ExactErrors(Pipeline):
    """Sends the errors that requests want as they are."""

    async def _fail(self, call: CallContext, context: Context, error: Exception) -> NoReturn:
        if isinstance(error, RequestedError):
            code = next(each for each in grpc.StatusCode if each.value[0] == error.status.code)
            status = error.status.SerializeToString()
            await context.abort(code, error.status.message, ((STATUS_KEY, status),))
        wire: Any = WithoutDetails(context)
        await super()._fail(call, wire, error)


class WithoutDetails:
    """Ends a call without the details of this project's errors, which the suite does not expect."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def abort(
        self, code: grpc.StatusCode, message: str, trailers: tuple[tuple[str, bytes], ...]
    ) -> NoReturn:
        """See `Context`."""
        status = status_pb2.Status.FromString(dict(trailers)[STATUS_KEY])
        del status.details[:]
        await self._context.abort(code, message, ((STATUS_KEY, status.SerializeToString()),))


def late_without_details() -> ConnectError:
    """Return the error of a call whose deadline has passed; likewise."""
    return ConnectError(Code.DEADLINE_EXCEEDED, "the deadline of the call has passed")


# --- The service ----------------------------------------------------------------------------------


def _wrapped(message: Message) -> any_pb2.Any:
    wrapped = any_pb2.Any()
    wrapped.Pack(message)
    return wrapped


def _request_info(call: CallContext, requests: Sequence[Message]) -> Any:
    """Return what the server has received."""
    info = kind("ConformancePayload.RequestInfo")(requests=map(_wrapped, requests))
    values: dict[str, list[str]] = {}
    for name, value in call.wire.invocation_metadata() or ():
        values.setdefault(name, []).append(str(value))
    for name, each in values.items():
        info.request_headers.add(name=name, value=each)
    seconds = call.time_remaining()
    if seconds is not None:
        info.timeout_ms = round(seconds * 1000)
    query = rpc_application._REQUEST.get().query
    for name, each in parse_qs(query, keep_blank_values=True).items():
        info.connect_get_info.query_params.add(name=name, value=each)
    return info


def _requested_error(error: Any, *more: Message) -> RequestedError:
    details = [*error.details, *map(_wrapped, more)]
    return RequestedError(
        status_pb2.Status(code=error.code, message=error.message, details=details)
    )


async def _send_metadata(call: CallContext, definition: Any) -> None:
    wire: Any = call.wire
    for send, headers in (
        (wire.send_initial_metadata, definition.response_headers),
        (wire.set_trailing_metadata, definition.response_trailers),
    ):
        sent = send(tuple((header.name, value) for header in headers for value in header.value))
        if sent is not None:
            await sent


async def _payload(call: CallContext, definition: Any, requests: Sequence[Message]) -> Any:
    """Return the payload of the only response.

    Raises:
        RequestedError: the request wants an error.
    """
    await _send_metadata(call, definition)
    info = _request_info(call, requests)
    await asyncio.sleep(definition.response_delay_ms / 1000)
    if definition.HasField("error"):
        raise _requested_error(definition.error, info)
    return kind("ConformancePayload")(data=definition.response_data, request_info=info)


def _unary(response: str) -> Callable[[Any, CallContext], Any]:
    async def serve(request: Any, call: CallContext) -> Message:
        payload = await _payload(call, request.response_definition, [request])
        answer: Message = kind(response)(payload=payload)
        return answer

    return serve


async def _client_stream(requests: AsyncIterator[Any], call: CallContext) -> Message:
    received = [request async for request in requests]
    first = received[0] if received else kind("ClientStreamRequest")()
    payload = await _payload(call, first.response_definition, received)
    response: Message = kind("ClientStreamResponse")(payload=payload)
    return response


async def _server_stream(request: Any, call: CallContext) -> AsyncIterator[Message]:
    async for payload in _payloads(call, request.response_definition, [request]):
        yield kind("ServerStreamResponse")(payload=payload)


async def _bidi_stream(requests: AsyncIterator[Any], call: CallContext) -> AsyncIterator[Message]:
    """Half-duplex: all requests come before the first response, as HTTP/1.1 allows."""
    received = [request async for request in requests]
    first = received[0] if received else kind("BidiStreamRequest")()
    async for payload in _payloads(call, first.response_definition, received):
        yield kind("BidiStreamResponse")(payload=payload)


async def _payloads(
    call: CallContext, definition: Any, requests: Sequence[Message]
) -> AsyncIterator[Any]:
    await _send_metadata(call, definition)
    info = _request_info(call, requests)
    for number, data in enumerate(definition.response_data):
        await asyncio.sleep(definition.response_delay_ms / 1000)
        yield kind("ConformancePayload")(data=data, request_info=None if number else info)
    if definition.HasField("error"):
        raise _requested_error(definition.error, *([] if definition.response_data else [info]))


def rpcs() -> list[Rpc]:
    """Return the RPCs of the suite's service. `Unimplemented` is none."""
    behaviours: Mapping[str, Callable[[Any, CallContext], Any]] = {
        "Unary": _unary("UnaryResponse"),
        "IdempotentUnary": _unary("IdempotentUnaryResponse"),
        "ClientStream": _client_stream,
        "ServerStream": _server_stream,
        "BidiStream": _bidi_stream,
    }
    return [
        Rpc(
            method=f"{SERVICE}/{name}",
            request_class=kind(f"{name}Request"),
            response_class=kind(f"{name}Response"),
            behaviour=behaviour,
            client_streams=name in ("ClientStream", "BidiStream"),
            server_streams=name in ("ServerStream", "BidiStream"),
        )
        for name, behaviour in behaviours.items()
    ]


# --- The process ----------------------------------------------------------------------------------


def settings_of(wanted: Any, folder: Path) -> Settings:
    """Return the settings of the server that the runner wants.

    Args:
        wanted: a ServerCompatRequest.
        folder: for the certificates.
    """
    values: dict[str, Any] = {"listen_host": HOST, "http_port": 0, "console_enabled": False}
    if wanted.message_receive_limit:
        values["max_request_bytes"] = wanted.message_receive_limit
    contents = {
        "tls_certificate_file": wanted.server_creds.cert,
        "tls_key_file": wanted.server_creds.key,
        "tls_client_ca_file": wanted.client_tls_cert,
    }
    for name, content in contents.items():
        if wanted.use_tls and content:
            path = folder / name
            path.write_bytes(content)
            values[name] = path
    if not wanted.use_tls:
        values["plaintext_to_everyone"] = PLAINTEXT_PHRASE
    return Settings.model_validate(values)


async def serve(wanted: Any, settings: Settings) -> None:
    """Serve until SIGTERM."""
    pipeline = ExactErrors(stages=[Reception(30.0, None)], refusals=Refusals(None))
    served = {f"/{rpc.method}": ServedRpc(rpc, pipeline) for rpc in rpcs()}
    listener = build_port(
        settings,
        HttpSources(
            load=lambda: served,
            unknown=lambda method: ServedRpc(unknown_rpc(method), pipeline),
            large=LargeRequests(),
            certificates=load_certificates(settings),
            is_guarded=False,
        ),
    )
    address = await listener.start()
    response = kind("ServerCompatResponse")(
        host=HOST, port=address.port, pem_cert=wanted.server_creds.cert
    ).SerializeToString()
    sys.stdout.buffer.write(struct.pack(">I", len(response)) + response)
    sys.stdout.buffer.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    listener.stop()
    await listener.cut()


def main() -> None:
    """Read what the runner wants, and serve it."""
    load_protos(Path(sys.argv[1]))
    vars(http_call)["deadline_exceeded"] = late_without_details
    (size,) = struct.unpack(">I", sys.stdin.buffer.read(4))
    wanted = kind("ServerCompatRequest").FromString(sys.stdin.buffer.read(size))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(serve(wanted, settings_of(wanted, Path(folder))))


if __name__ == "__main__":
    main()
