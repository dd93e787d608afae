"""A server without sockets: handlers with all pipeline stages, and boto3 without HTTP.

Input is a request's bytes, output what gRPC would send. All parts between are the server's own;
only gRPC's context, the threads and boto3's HTTP connection are replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self
from unittest.mock import patch

import grpc
from google.protobuf.descriptor import MethodDescriptor

from taskgate_server import app, aws_connections
from taskgate_server.aws import model
from taskgate_server.config import AwsSettings
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.handlers import load_contract, load_operations
from taskgate_server.server import Handlers
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.telemetry.logs import LOG
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import AwsClient
from tests.support.aws_clients import Inline, answered_client
from tests.support.boto3_wire import HOST, AwsResponse, Wire
from tests.support.running_server import settings_for

MARKER = "qXsecretXq"
"""Contained in values of requests and responses; it must not appear in any log line."""

SETTINGS: dict[str, Any] = {"stream_chunk_bytes": 4096, "spool_memory_bytes": 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcResponse:
    """What gRPC would send to the caller."""

    code: grpc.StatusCode
    message: str = ""
    trailers: Sequence[tuple[str, str | bytes]] = ()
    """All metadata, initial metadata included, because the limits are the same."""
    responses: Sequence[bytes] = ()


class _Context:
    """The part of grpc.aio's ServicerContext that the server uses."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = iter(requests)
        self.code = grpc.StatusCode.OK
        self.message = ""
        self.initial: Sequence[tuple[str, str | bytes]] = ()
        self.trailers: Sequence[tuple[str, str | bytes]] = ()
        self.written: list[Any] = []

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return ()

    def peer(self) -> str:
        return "ipv4:192.0.2.1:40000"

    def auth_context(self) -> dict[str, Any]:
        return {}

    async def read(self) -> Any:
        return next(self._requests, grpc.aio.EOF)

    def time_remaining(self) -> float | None:
        return None

    def set_trailing_metadata(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        self.trailers = trailers

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        self.initial = metadata

    async def write(self, response: Any) -> None:
        self.written.append(response)

    async def abort(
        self, code: grpc.StatusCode, message: str, trailers: Sequence[tuple[str, str | bytes]]
    ) -> None:
        self.code, self.message, self.trailers = code, message, trailers
        raise grpc.aio.AbortError


class _Connected(Connection):
    """A connection with a client from the start, which it never replaces."""

    def __init__(
        self, spec: ServiceSpec, make: Callable[[], AwsClient], *_: object, **__: object
    ) -> None:
        super().__init__(spec, make, Inline())
        self.client = make()
        self._attempted.set()

    def discard(self, *_: object) -> None:
        """Do nothing: the next case needs the client, too."""


class _NoServer:
    """Replaces gRPC's server: it has the handlers, but no port."""

    def __init__(self, address: object, handlers: Handlers, *_: object) -> None:
        self.address = address
        self.by_path = handlers.load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One served operation."""

    spec: ServiceSpec
    operation: Operation
    method: MethodDescriptor
    handler: Any

    @property
    def model(self) -> model.OperationModel:
        """botocore's model of the operation."""
        return self.operation.model

    def __str__(self) -> str:
        return f"{self.spec.name}.{self.operation.name}"


class Log(logging.Handler):
    """Collects bug reports and log lines that contain the marker; Taskgate's own from DEBUG."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.bugs: list[str] = []
        self.leaks: list[str] = []
        self._level = LOG.level

    def __enter__(self) -> Self:
        self._level = LOG.level
        LOG.setLevel(logging.DEBUG)
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        LOG.setLevel(self._level)

    def clear(self) -> None:
        """Delete what earlier cases logged."""
        self.bugs.clear()
        self.leaks.clear()

    def write(self, text: str, /) -> int:
        """Receive the lines about calls."""
        if MARKER in text:
            self.leaks.append(text)
        return len(text)

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "bug":
            fields = vars(record)
            places = [str(each) for each in fields.get("places", ())]
            self.bugs.append(f"{fields.get('exception')} at {' < '.join(places[-1:-4:-1])}")
        # The exception's text would be printed with the record.
        fields = dict(vars(record))
        if record.getMessage() == "AWS call failed":
            # The text of an error about permissions, credentials or quotas: it quotes no request.
            fields.pop("text")
        if record.getMessage() == "audit" and fields["code"] == "OK":
            fields.pop(
                "resources"
            )  # ids that AWS's model allows, such as a workflow version's name
        description = f"{fields} {record.exc_info[1] if record.exc_info else ''}"
        if MARKER in description:
            self.leaks.append(description)
        # pytest keeps every record, and with its exception the sockets in the frames of that.
        record.msg, record.args, record.exc_info = record.getMessage(), (), None


class InProcessServer:
    """Serves calls in process, one at a time."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.log = Log()
        self._loop = asyncio.new_event_loop()
        self._clients: list[Any] = []
        self._app = self._loop.run_until_complete(self._build())
        self.targets = [target for spec in SERVICES for target in self._targets(spec)]

    def __enter__(self) -> Self:
        self.log.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.log.__exit__()
        self._loop.run_until_complete(self._app.close())
        for client in self._clients:
            client.close()
        self._loop.close()

    async def _build(self) -> app.App:
        """Build the server as `app` does, with replaced ends."""
        ends: dict[str, Any] = {
            "Connection": _Connected,
            "make_client": self._make_client,
        }
        with patch.object(app, "Server", _NoServer), patch.multiple(aws_connections, **ends):
            return app.build(settings_for(f"http://{HOST}", **SETTINGS), self.log)

    def _make_client(self, spec: ServiceSpec, settings: AwsSettings) -> AwsClient:
        made = answered_client(spec, settings, self.wire.before_send)
        self._clients.append(made.client)
        return made

    def _targets(self, spec: ServiceSpec) -> Iterator[Target]:
        server: Any = self._app.server
        operations = load_operations(spec)
        for method in load_contract(spec).methods:
            yield Target(
                spec=spec,
                operation=operations[method.name],
                method=method,
                handler=server.by_path[f"/{method.containing_service.full_name}/{method.name}"],
            )

    def call(self, target: Target, requests: Sequence[Any], response: AwsResponse) -> GrpcResponse:
        """Perform one call with messages or their bytes; raise what gRPC itself would receive."""
        self.wire.response = response
        self.wire.sent.clear()
        self.log.clear()
        return self._loop.run_until_complete(self._serve(target, requests))

    async def _serve(self, target: Target, requests: Sequence[Any]) -> GrpcResponse:
        method, handler = target.method, target.handler
        raw = [each if isinstance(each, bytes) else each.SerializeToString() for each in requests]
        context = _Context(raw)
        # To gRPC every request is a stream, which the server reads itself.
        behaviour = handler.stream_stream if method.server_streaming else handler.stream_unary
        responses: list[Any] = []
        try:
            result = await behaviour(None, context)
            responses = context.written if method.server_streaming else [result]
        except grpc.aio.AbortError:
            pass
        return GrpcResponse(
            code=context.code,
            message=context.message,
            trailers=[*context.initial, *context.trailers],
            responses=responses,
        )
