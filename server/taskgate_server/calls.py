"""An RPC (`Rpc`) and one call of it (`Call`), as all layers of the server see them."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from taskgate_server import errors, wire_records
from taskgate_server.background_tasks import BackgroundTask, Supervision
from taskgate_server.large_requests import RunWork
from taskgate_server.reloading import Reloading
from taskgate_server.telemetry.spans import TracedCall, TraceIds

TARGET_KEY = "taskgate-target"
"""Metadata of a caller: the AWS account and region that the call is for, by the name that the
server's settings give them."""

DEFAULT_TARGET = "default"
"""The one that `aws` of the settings describes, for calls that name none."""


class Wire(Protocol):
    """A call's connection, metadata and messages, as gRPC has them."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What the caller sent along."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What the handshake has found out; empty in plaintext."""

    def peer(self) -> str:
        """Where the caller is: `ipv4:192.0.2.1:40000`."""


ResourcePath: TypeAlias = tuple[tuple[str, str], ...]
"""A resource as the policy names it, types and ids from the AWS service down:
`(("AwsService", "omics"), ("Run", "7"))`."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of an RPC: the input of its behaviour, and its outcome for log and caller.

    The stages of the pipeline fill in what they find out, each once.
    """

    method: str
    """Full name, such as `taskgate.v1.TaskService/GetTask`."""

    call_id: str
    """What the log and RequestInfo name the call by."""

    time_remaining: Callable[[], float | None]
    """Tells the seconds that the caller still waits; None when it set no limit."""

    wire: Wire | None = None
    """How the call came; None for one that did not come over gRPC."""

    read: Callable[[], Awaitable[Any]] | None = None
    """Returns the next message of the request in bytes, `grpc.aio.EOF` after the last one."""

    caller: str = ""
    """The authenticated principal, such as `User alice`; empty without authentication."""

    requester: str = ""
    """Whose share of a quota the call uses: the caller, or the address of an anonymous one."""

    principal: Any = None
    """The authenticated caller as `guard.callers.Caller`."""

    lifetime: AbstractAsyncContextManager[None] | None = None
    """Ends a long call when its caller's authority ends."""

    expires_at: float | None = None
    """When the caller's credential expires, in seconds since 1970; None if it does not."""

    data: bytes = b""
    """The request message as it was received; of a stream, the first one."""

    message: Message | None = None
    """The same, parsed; None while no stage has needed it."""

    in_thread: RunWork | None = None
    """Runs work on a large request beside the event loop; None for a small request."""

    requests: AsyncIterator[Message] | None = None
    """All messages of a client stream, the first one included."""

    resources: Sequence[ResourcePath] = ()
    """The resources that the request names."""

    is_known: bool = False
    """Whether the same request of the same caller was allowed before, by the same policy."""

    items: Sequence[ResourcePath | None] = ()
    """The resource of each item of a batch that is authorized item by item; None for a malformed
    name, which the behaviour refuses."""

    refused_items: Sequence[errors.TaskgateError | None] = ()
    """For each item of a batch that is authorized item by item, its error or None. Empty if no item
    is refused."""

    error: errors.TaskgateError | None = None
    """The error that the call ended with."""

    is_logged: bool = True
    """Whether the call has lines of its own in the log; refusals beyond a number have not."""

    ends: list[Callable[[], None]] = field(default_factory=list)
    """Called in reverse order when the call has ended, however it did."""

    target: str = DEFAULT_TARGET
    """Which AWS account and region it is for, as the caller names it: there may be no such one."""

    max_age: float | None = None
    """Seconds that what the caller reads may be old; None for the server's default."""

    audit: dict[str, Any] = field(default_factory=dict)
    """What the audit's line of a call that writes says besides who, what and how it ended."""

    observe_time: float | None = None
    """When AWS gave the answer, in seconds since 1970."""

    aws_request_id: str = ""
    """AWS's id of the request that answered the call."""

    aws_span: TracedCall | None = None
    """That request in a trace; None where it is in none."""

    trace: TraceIds | None = None
    """The trace that the call is a part of, for the log; None for none."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    """How the call ended."""


def wire_of(call: Call) -> Wire:
    """Return the wire of a call that was received over gRPC.

    Raises:
        TypeError: it was not.
    """
    if call.wire is None:
        raise TypeError("the call has no connection")
    return call.wire


Behaviour: TypeAlias = Callable[[Any, Call], Any]
"""Serves a call. Takes the request, or an async iterator of requests; returns an awaitable of the
response, or an async iterator of responses, each a message or one already serialized. Raises
errors.TaskgateError."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a server does beside serving calls."""

    runs: list[BackgroundTask] = field(default_factory=list)
    """Run while it serves, and cancelled in the end."""
    supervision: Supervision = field(default_factory=Supervision)
    """Runs them, and whatever else runs in the background."""
    reloading: list[Reloading] = field(default_factory=list)
    """What is reloaded while the server runs, for metrics and health."""
    backgrounds: list[Background] = field(default_factory=list)
    starts: list[Callable[[], None]] = field(default_factory=list)
    """Called when the server listens. They raise OSError where they cannot."""


M = TypeVar("M", bound=Message)


def parse_request(kind: type[M], data: bytes) -> M:
    """Return the message that was received.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is none of that kind, or has too many fields.
    """
    descriptor: Any = kind.DESCRIPTOR
    if wire_records.exceeds(descriptor, data):
        fault = f"has more than {wire_records.MAX_RECORDS} fields and elements"
        raise errors.invalid_request({"": fault}, is_complete=False)
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise errors.invalid_request({"": f"is no {name}"}) from None


class Background(Protocol):
    """What goes on between calls, and ends with the server."""

    def stop(self) -> None:
        """Has long calls end soon, by themselves. Called when the server begins to stop."""

    async def close(self) -> None:
        """Ends what goes on. Called when no call is served any more."""


@dataclass(slots=True)
class MethodCalls:
    """How many calls of a method are being served."""

    method: str
    count: int = 0


class RpcsInFlight:
    """The calls that are being served, by method: one count for a call, as one of all would be."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodCalls] = {}

    def of(self, method: str) -> MethodCalls:
        """The count of a method, for who serves its calls."""
        return self._methods.setdefault(method, MethodCalls(method))

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(each.count for each in self._methods.values())

    def by_method(self) -> dict[str, int]:
        """The same by method, of those that have some."""
        return {name: each.count for name, each in self._methods.items() if each.count}


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
"""What grpc.aio calls for an RPC: its behaviour with all the stages around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """An RPC and what serves it."""

    method: str
    request_class: type[Message]
    response_class: type[Message]
    behaviour: Behaviour
    takes_bytes: bool = False
    """Whether the behaviour takes the request as the bytes that came, to parse them itself."""
    client_streams: bool = False
    server_streams: bool = False
    waits: bool = False
    """Whether a call may last as long as its caller likes, although it has one response."""
    max_request_bytes: int | None = None
    """Longer messages are refused before they are parsed; None for the server's limit alone."""
    has_request: bool = True
    """Whether a request message is read."""
    is_public: bool = False
    """Whether callers need neither identity nor permission: health checks."""

    @property
    def is_long(self) -> bool:
        """Whether a call can outlive its caller's credential."""
        return self.client_streams or self.server_streams or self.waits
