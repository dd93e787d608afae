"""All RPCs over Connect and gRPC-Web: an ASGI application of connectrpc that calls the pipeline.

Methods are registered from the descriptors, like those of the gRPC port. connectrpc implements the
protocols: paths, content types, envelopes, deadlines, errors and GET.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from connectrpc.codec import Codec
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf import descriptor_pool

from taskgate_server.calls import Rpc
from taskgate_server.http.http_call import HttpCall, Serve
from taskgate_server.http.idempotency import is_safe
from taskgate_server.http.json_messages import JsonMessages
from taskgate_server.http.peer import HttpPeer
from taskgate_server.pipeline.pipeline import ServedRpc

JSON: Final = "json"

ACCEPTED_ENCODINGS: Final = (
    b"accept-encoding",
    b"connect-accept-encoding",
    b"grpc-accept-encoding",
)
"""Left out, so that responses are not compressed: it would take as long as the rest of a call, on
the event loop. Proxies compress. Compressed requests are read after authentication."""


Load = Callable[[], Mapping[str, ServedRpc]]
"""Returns the served RPCs by path, such as `/taskgate.v1.TaskService/GetTask`."""


CURLS_TYPE: Final = (b"content-type", b"application/x-www-form-urlencoded")
"""What curl sends by default. It is taken for JSON, but not from a browser, where any page can send
a form."""

BROWSERS: Final = (b"origin", b"sec-fetch-site")
"""Headers that only browsers send, and all of them with a form."""


@dataclass(slots=True)
class _Request:
    """The HTTP request that the current task serves."""

    peer: HttpPeer
    query: str
    call: HttpCall | None = None


_REQUEST: ContextVar[_Request] = ContextVar("http_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method(MethodInfo[bytes, bytes]):
    """A method for connectrpc, which knows how it is served."""

    rpc: Rpc
    binary: Serve
    """Serves a call in protobuf's binary format."""
    json: Serve
    """Serves a call in JSON."""


class _Codec(Codec[bytes, bytes]):
    """Passes messages on: the pipeline decodes them, after it has applied the limits."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def encode(self, message: bytes) -> bytes:
        return message

    def decode(self, data: bytes | bytearray, message_class: type[bytes]) -> bytes:
        return message_class(data)


class _Start:
    """Runs the pipeline before the request is read; a `MetadataInterceptor`.

    Args:
        messages: converts JSON.
    """

    def __init__(self, messages: JsonMessages) -> None:
        self._messages = messages

    async def on_start(self, context: RequestContext[bytes, bytes]) -> HttpCall:
        """Return the call, which waits for its request."""
        request, method = _REQUEST.get(), context.method
        if not isinstance(method, _Method):
            raise TypeError(f"{method.name} was not registered here")
        is_json = _is_json(context, request.query)
        encode = None
        if is_json:
            encode = partial(self._from_binary, method.rpc, request.peer.name)
        call = request.call = HttpCall(request.peer, context, encode)
        await call.start(method.json if is_json else method.binary)
        return call

    async def on_end(
        self, call: HttpCall, _: RequestContext[bytes, bytes], error: Exception | None
    ) -> None:
        """End a call whose request connectrpc cannot read, or whose deadline has passed."""
        if error is None:
            return
        # connectrpc's frame refers to the error, and its traceback to the frame. With the frames,
        # such a cycle would keep the request, maybe megabytes, until the garbage collector runs.
        error.__traceback__ = error.__context__ = None
        await call.fail(error)

    async def _from_binary(self, rpc: Rpc, peer: str, data: bytes) -> bytes:
        return await self._messages.from_binary(rpc, data, peer)


def _is_json(context: RequestContext[bytes, bytes], query: str) -> bool:
    """Return whether a call is in JSON; connectrpc has checked that it is that or binary."""
    if context.http_method == "GET":
        return parse_qs(query).get("encoding") == [JSON]
    content_type = context.request_headers.get("content-type", "").partition(";")[0]
    return content_type.strip().lower().endswith(JSON)


class _Endpoints(Mapping[str, Endpoint[bytes, bytes]]):
    """The endpoints of all methods by path; each is made at its first call.

    Args:
        load: returns the served RPCs.
        unknown: returns what serves a method that does not exist.
        messages: converts JSON.
    """

    def __init__(
        self, load: Load, unknown: Callable[[str], ServedRpc], messages: JsonMessages
    ) -> None:
        self._load = load
        self._unknown = unknown
        self._messages = messages
        self._made: dict[str, Endpoint[bytes, bytes]] = {}

    def __getitem__(self, path: str) -> Endpoint[bytes, bytes]:
        endpoint = self._made.get(path)
        if endpoint is None:
            served = self._load().get(path)
            if served is None:
                return self._make(self._unknown(path[1:]), IdempotencyLevel.UNKNOWN)
            endpoint = self._made[path] = self._make(served, _idempotency(served.rpc))
        return endpoint

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def _make(self, served: ServedRpc, level: IdempotencyLevel) -> Endpoint[bytes, bytes]:
        rpc = served.rpc
        service, _, name = rpc.method.rpartition("/")
        kind = _STREAM_TYPES[rpc.client_streams, rpc.server_streams]
        method = _Method(
            name=name,
            service_name=service,
            input=bytes,
            output=bytes,
            idempotency_level=level,
            stream_type=kind,
            rpc=rpc,
            binary=served.pipeline.serve(rpc),
            json=served.pipeline.serve(rpc, self._messages),
        )
        match kind:
            case StreamType.UNARY:
                return Endpoint.unary(method, _unary)
            case StreamType.CLIENT_STREAM:
                return Endpoint.client_stream(method, _client_stream)
            case StreamType.SERVER_STREAM:
                return Endpoint.server_stream(method, _server_stream)
            case StreamType.BIDI_STREAM:
                return Endpoint.bidi_stream(method, _bidi_stream)


def _idempotency(rpc: Rpc) -> IdempotencyLevel:
    service, _, name = rpc.method.rpartition("/")
    pool: Any = descriptor_pool.Default()
    method = pool.FindServiceByName(service).methods_by_name[name]
    return IdempotencyLevel.NO_SIDE_EFFECTS if is_safe(method) else IdempotencyLevel.UNKNOWN


_STREAM_TYPES: Final = {
    (False, False): StreamType.UNARY,
    (True, False): StreamType.CLIENT_STREAM,
    (False, True): StreamType.SERVER_STREAM,
    (True, True): StreamType.BIDI_STREAM,
}


def _call() -> HttpCall:
    call = _REQUEST.get().call
    if call is None:
        raise TypeError("the call has not been started")
    return call


async def _unary(request: bytes, _: RequestContext[bytes, bytes]) -> bytes:
    call = _call()
    call.deliver(_only(request))
    return await call.response()


async def _client_stream(requests: AsyncIterator[bytes], _: RequestContext[bytes, bytes]) -> bytes:
    call = _call()
    call.deliver(requests)
    return await call.response()


def _server_stream(request: bytes, _: RequestContext[bytes, bytes]) -> AsyncIterator[bytes]:
    return _bidi_stream(_only(request), _)


def _bidi_stream(
    requests: AsyncIterator[bytes], _: RequestContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    call = _call()
    call.deliver(requests)
    return call.responses()


async def _only(request: bytes) -> AsyncIterator[bytes]:
    yield request


class RpcApplication(ConnectASGIApplication[None]):
    """The ASGI application. Its scopes have the peer of the connection in their state.

    Args:
        load: returns the served RPCs; called at the first request.
        unknown: returns what serves a method that does not exist.
        messages: converts JSON.
        max_request_bytes: the largest request message.
    """

    def __init__(
        self,
        load: Load,
        unknown: Callable[[str], ServedRpc],
        messages: JsonMessages,
        max_request_bytes: int,
    ) -> None:
        self._load = load
        endpoints: Any = _Endpoints(load, unknown, messages)
        super().__init__(
            service=None,
            endpoints=lambda _: endpoints,
            interceptors=[_Start(messages)],
            read_max_bytes=max_request_bytes,
            codecs=[_Codec("proto"), _Codec(JSON)],
        )

    @property
    def path(self) -> str:
        """Return the common prefix of all paths."""
        return "/"

    def has(self, path: str) -> bool:
        """Return whether a path is that of an RPC."""
        return path in self._load()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        query = scope["query_string"].decode("ascii", "replace")
        request = _Request(scope["state"]["peer"], query)
        _REQUEST.set(request)

        async def receive_for_call() -> Any:
            return await (receive() if request.call is None else request.call.receive(receive))

        adapted = {**scope, "headers": _adapt(scope["headers"])}
        await super().__call__(adapted, receive_for_call, send)


def _adapt(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request as connectrpc is to understand them."""
    adapted = [each for each in headers if each[0] not in ACCEPTED_ENCODINGS]
    if CURLS_TYPE in adapted and not any(name in BROWSERS for name, _ in adapted):
        adapted.remove(CURLS_TYPE)
        adapted.append((b"content-type", b"application/json"))
    return adapted
