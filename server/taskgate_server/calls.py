"""An RPC, one call of it (`CallContext`), and the outcome of the call (`CallRecord`)."""

from __future__ import annotations

import math
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
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from taskgate_server import errors, wire_records
from taskgate_server.large_requests import RunWork
from taskgate_server.telemetry.spans import TracedCall, TraceIds

TARGET_KEY: Final = "taskgate-target"
"""Request metadata: the AWS account and region of the call, by its name in the settings."""

PAYLOAD_BYTES_KEY: Final = "taskgate-payload-bytes"
"""Request metadata: the length of an upload's payload, in all of its messages."""

DEFAULT_TARGET: Final = "default"
"""The target of calls that name none: the AWS account and region of the setting `aws`."""

ResourcePath: TypeAlias = tuple[tuple[str, str], ...]
"""A resource as the policy names it, types and ids from the AWS service down:
`(("AwsService", "omics"), ("Run", "7"))`."""


class Peer(Protocol):
    """The connection and the metadata of a call."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return the metadata of the request."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what the TLS handshake verified; empty in plaintext."""

    def peer(self) -> str:
        """Return the caller's address, such as `ipv4:192.0.2.1:40000`."""


class Wire(Peer, Protocol):
    """The same, with the messages of the call.

    `grpc.aio.ServicerContext` and `http.http_call.HttpCall` are such.
    """

    def read(self) -> Awaitable[Any]:
        """Return the next request message in bytes, `grpc.aio.EOF` after the last one."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline of the call; None for a call without one."""


class Encoding(Protocol):
    """An encoding of messages other than protobuf's binary format: JSON."""

    weight: int
    """How many times as long a byte takes to read as one in the binary format."""

    def to_binary(self, kind: type[Message], data: bytes) -> bytes:
        """Return a request message in the binary format.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT, it is malformed or has too many values.
        """


class CallRequest(NamedTuple):
    """The request of a call, as far as it has been received."""

    data: bytes = b""
    """The request message in protobuf's binary format."""

    message: Message | None = None
    """The same, parsed; None while no stage has needed it."""

    messages: AsyncIterator[Message] | None = None
    """All messages of a client stream, the first one included."""

    in_thread: RunWork | None = None
    """Runs work on a large request beside the event loop; None for a small request."""


class CallContext(NamedTuple):
    """The input of a call. Each stage of the pipeline returns it with what the stage has added."""

    rpc: Rpc
    call_id: str
    """The id of the call in the log and in RequestInfo."""

    wire: Wire
    record: CallRecord

    caller: str = ""
    """The authenticated principal, such as `User alice`; empty without authentication."""

    requester: str = ""
    """Whose share of a quota the call uses: the caller, or the address of an anonymous one."""

    principal: Any = None
    """The authenticated caller as `auth.authentication.Caller`."""

    expires_at: float | None = None
    """When the caller's credential expires, in seconds since 1970; None if it does not."""

    target: str = DEFAULT_TARGET
    """The AWS account and region of the call, as the caller names it; it may not exist."""

    max_age: float | None = None
    """Maximum age of responses in seconds; None for the server's default."""

    since_write: float = math.inf
    """Seconds from the end of a write, whose effect the response must show, to the arrival of the
    call; inf for none. Responses are not older, whatever `max_age` is."""

    report_source: bool = False
    """Whether the caller wants to know when AWS sent the response, and AWS's id of the request."""

    payload_bytes: int | None = None
    """The length of an upload, as the caller declares it; None if it does not."""

    request: CallRequest = CallRequest()

    resources: Sequence[ResourcePath] = ()
    """The resources that the request names."""

    is_known: bool = False
    """Whether the policy allowed the same request of the same caller before."""

    items: Sequence[ResourcePath] = ()
    """The resource of each item of a batch that is authorized item by item; NOTHING for a malformed
    name, which the behaviour refuses."""

    refused_items: Sequence[errors.TaskgateError | None] = ()
    """For each item of a batch that is authorized item by item, its error or None. Empty if no item
    is refused."""

    lifetime: AbstractAsyncContextManager[None] | None = None
    """Ends a long call when its caller's authority ends."""

    encoding: Encoding | None = None
    """The encoding of the request messages; None for protobuf's binary format."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline of the call; None for a call without one."""
        return self.wire.time_remaining()


@dataclass(slots=True)
class CallRecord:
    """The outcome of a call, for the log, the audit, metrics and traces."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    error: errors.TaskgateError | None = None
    """The error that the call ended with."""

    aws_request_id: str = ""
    """AWS's id of the request that the response is from."""

    aws_span: TracedCall | None = None
    """The span of that request; None without traces."""

    observe_time: float | None = None
    """When AWS sent the response, in seconds since 1970."""

    trace: TraceIds | None = None
    """The trace that the call is a part of; None for none."""

    is_logged: bool = True
    """Whether the call has log lines of its own; refusals over a limit have none."""

    audit: dict[str, Any] = field(default_factory=dict)
    """Fields that the behaviour adds to the audit line."""

    ends: list[Callable[[CallContext], None]] = field(default_factory=list)
    """Called in reverse order when the call has ended, with or without an error."""


Behaviour: TypeAlias = Callable[[Any, CallContext], Any]
"""Serves a call. Takes the request, or an async iterator of requests; returns an awaitable of the
response, or an async iterator of responses, each a message or its bytes. Raises
errors.TaskgateError."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
"""What grpc.aio calls for an RPC: the stages of the pipeline, then the behaviour."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # it is a key of caches: hashed by id
class Rpc:
    """An RPC and what serves it."""

    method: str
    """Full name, such as `taskgate.v1.TaskService/GetTask`."""
    request_class: type[Message]
    response_class: type[Message]
    behaviour: Behaviour
    takes_bytes: bool = False
    """Whether the behaviour takes the request in bytes, to parse it itself."""
    client_streams: bool = False
    server_streams: bool = False
    waits: bool = False
    """Whether a call may last as long as its caller likes, although it has one response."""
    max_request_bytes: int | None = None
    """Longer messages are refused before they are parsed; None for the server's limit alone."""
    has_request: bool = True
    """Whether a request message is read."""

    @property
    def is_stream(self) -> bool:
        """Whether the request or the response is a stream."""
        return self.client_streams or self.server_streams

    @property
    def is_long(self) -> bool:
        """Whether a call can outlive its caller's credential."""
        return self.is_stream or self.waits


M = TypeVar("M", bound=Message)


def parse_request(kind: type[M], data: bytes) -> M:
    """Return a request message.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is malformed or has too many fields.
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
