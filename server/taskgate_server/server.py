"""The gRPC server: listens, reports its health, drains.

Start: listen first, then load the contracts and make the AWS clients, while health says which AWS
service can be used. Stop: report NOT_SERVING and serve on for a while; then take no new calls, end
the streams so that their callers reconnect elsewhere, let calls in flight end, and cut the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from taskgate_server.background_tasks import Background, BackgroundTask, Supervision
from taskgate_server.calls import Handler
from taskgate_server.connection_limits import ConnectionLimits
from taskgate_server.health import Readiness
from taskgate_server.ports import Address, ListenError, is_unix, reserve
from taskgate_server.rpcs_in_flight import RpcsInFlight
from taskgate_server.shutdown import Shutdown
from taskgate_server.telemetry import LOG

ACCEPTORS = 4
"""gRPC servers of this process, on one port. grpc.aio takes new calls one by one, each with a trip
through its poller's thread; several of them find more to do in each trip."""

MAX_PENDING_CALLS = 20_000
MAX_METADATA_BYTES = 32 * 1024
"""Of one call: a token with many groups has room in it."""
HANDSHAKE_MS = 10_000
"""TLS and HTTP/2 settings; gRPC's default is two minutes."""
LOOKAHEAD_BYTES = 1024 * 1024


class Handlers(grpc.GenericRpcHandler):
    """The handler of each method.

    Those of the contracts are loaded after the server listens, or when the first of their methods
    is called, if that is sooner: loading takes 0.1 s, and health is reported at once.

    Args:
        health: handlers by method path, which are there from the start.
        load: returns those of the contracts.
        unknown: returns a handler for a method that is in neither.
    """

    def __init__(
        self,
        health: Mapping[str, Handler],
        load: Callable[[], dict[str, Handler]],
        unknown: Callable[[str], Handler],
    ) -> None:
        self.health = health
        self._load = load
        self._unknown = unknown
        self._by_method: dict[str, Handler] | None = None

    def load(self) -> dict[str, Handler]:
        """Return all handlers of the contracts by method path."""
        if self._by_method is None:
            self._by_method = self._load()
        return self._by_method

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method."""
        method = details.method
        handler = self.health.get(method) or self.load().get(method)
        return handler or self._unknown(method.removeprefix("/"))


class HealthHandlers(grpc.GenericRpcHandler):
    """The same for the port of health alone; None for any other method."""

    def __init__(self, health: Mapping[str, Handler]) -> None:
        self._health = health

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method."""
        return self._health.get(details.method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the server listens, and how."""

    address: Address
    credentials: Callable[[], grpc.ServerCredentials] | None = None
    """Makes those of one acceptor; None for plaintext."""
    health: Address | None = None
    """Where nothing but health is told, in plaintext; None for nowhere."""
    are_shared: bool = False
    """Whether other processes listen there, too. Somebody else makes sure that they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundWork:
    """What the server does beside serving calls."""

    supervision: Supervision
    tasks: Sequence[BackgroundTask]
    """Run while the server serves; cancelled at its end."""
    starts: Sequence[Callable[[], None]]
    """Called when the server listens. They raise OSError if they cannot listen themselves."""
    backgrounds: Callable[[], Sequence[Background]]
    """Returns what is stopped when the server begins to shut down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of messages, connections and their streams."""

    max_request_bytes: int
    """Of one message."""
    max_connection_age: float | None = None
    """Seconds after which a connection takes no more calls, so that its caller makes another one,
    with another replica if there is. gRPC makes it up to a tenth more or less, at random:
    https://github.com/grpc/proposal/blob/master/A9-server-side-conn-mgt.md"""
    max_connection_age_grace: float = 300.0
    """Seconds after that in which its calls may end."""
    max_connection_idle: float = 600.0
    """Seconds after which a connection without calls is closed."""
    max_streams: int = 10_000
    """Calls in flight on one connection. gRPC resets streams that exceed it before the client knows
    the limit, so that a burst on a new connection must not exceed it."""
    keepalive: float = 30.0
    """Seconds without data after which the server pings a client."""
    keepalive_timeout: float = 10.0
    """Seconds after which a connection is closed whose client has not responded to a ping."""
    min_ping: float = 10.0
    """Seconds between two pings of a client, at least; with or without calls. By default gRPC
    allows one ping in five minutes, and none without calls in two hours:
    https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md"""
    connections: ConnectionLimits | None = None
    """Of one address and of all; None for no limits."""

    def options(self) -> list[tuple[str, int]]:
        """Return them as gRPC takes them."""
        options = [
            ("grpc.max_receive_message_length", self.max_request_bytes),
            ("grpc.max_connection_idle_ms", round(self.max_connection_idle * 1000)),
            ("grpc.max_concurrent_streams", self.max_streams),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            # The calls of a half-open connection count in the limits of their caller.
            ("grpc.keepalive_time_ms", round(self.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout * 1000)),
            # While a keepalive ping is in flight, gRPC waits for this time, 60 s by default.
            ("grpc.http2.ping_timeout_ms", round(self.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", round(self.min_ping * 1000)),
        ]
        if self.connections is not None:
            # Of one acceptor: a bound between two checks of all connections.
            options.append(("grpc.max_allowed_incoming_connections", self.connections.total))
        if self.max_connection_age is not None:
            grace = round(self.max_connection_age_grace * 1000)
            options += [
                ("grpc.max_connection_age_ms", round(self.max_connection_age * 1000)),
                ("grpc.max_connection_age_grace_ms", grace),
            ]
        return options


class Server:
    """One server: `start`, then `drain`, once each.

    Args:
        ports: where to listen, and how.
        handlers: of all RPCs.
        in_flight: counts the calls being served.
        readiness: decides the health that is reported.
        limits: of messages and connections.
        work: what the server does beside serving calls.
    """

    def __init__(
        self,
        ports: Ports,
        handlers: Handlers,
        in_flight: RpcsInFlight,
        readiness: Readiness,
        limits: Limits,
        work: BackgroundWork,
    ) -> None:
        self._work = work
        self._ports = ports
        self._handlers = handlers
        self._in_flight = in_flight
        self._readiness = readiness
        self._limits = limits
        self._background: set[asyncio.Task[None]] = set()
        options = (
            *limits.options(),
            # For the acceptors, which share the port; see `reserve`.
            ("grpc.so_reuseport", 1),
            # What a caller may send ahead of what has been read, for each stream. By default
            # gRPC lets it grow with the bandwidth: an upload of 192 MiB in messages of 1 MiB
            # then took 25 to 31 MiB of memory, and takes 17 so.
            ("grpc.http2.bdp_probe", 0),
            # Calls that have come and not been begun. By default gRPC drops some from 1,000 on,
            # all from 3,000 on, and a burst of many callers is what this server is for.
            ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
            ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
            # gRPC refuses some calls with more than the first, and all with more than the second.
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        )
        # A Unix socket cannot be shared: each acceptor would replace that of the one before.
        count = 1 if is_unix(ports.address.host) else ACCEPTORS
        self._acceptors = [grpc.aio.server(options=options) for _ in range(count)]
        self._health_server: grpc.aio.Server | None = None
        self.health_address: Address | None = None
        """Where health alone is told, once the server has started; None for nowhere."""
        # gRPC calls back into them at handshakes and keeps them alive no longer than we do.
        self._credentials: list[grpc.ServerCredentials] = []

    async def start(self) -> Address:
        """Listens, and goes on starting in the background. Returns the address with its real port.

        Raises:
            ListenError: the address is taken or not this machine's.
        """
        await self._readiness.tell()
        address = await self._listen(self._ports.address)
        await self._listen_for_health()
        try:
            for begin in self._work.starts:
                begin()
        except OSError as error:
            raise ListenError(
                f"cannot listen for admin ({error.strerror}): choose another place with"
                " TASKGATE_ADMIN_HOST and TASKGATE_ADMIN_PORT"
            ) from None
        LOG.info("listening", extra={"address": str(address)})
        tasks = [*self._readiness.runs, *self._work.tasks]
        if self._limits.connections is not None:
            watch = partial(self._limits.connections.run, address.port)
            tasks.append(BackgroundTask("connection_limits", watch))
        for task in tasks:
            running = self._work.supervision.keep_running(task)
            self._background.add(asyncio.ensure_future(running))
        self._handlers.load()
        return address

    async def _listen(self, wanted: Address) -> Address:
        try:
            address = wanted if self._ports.are_shared else reserve(wanted)
            for acceptor in self._acceptors:
                acceptor.add_generic_rpc_handlers((self._handlers,))
                self._add_port(acceptor, address)
                await acceptor.start()
        except (OSError, RuntimeError):
            if is_unix(wanted.host):
                hint = (
                    "does another server listen there, or is its directory missing or not"
                    " writable? Choose another with TASKGATE_LISTEN_HOST"
                )
            else:
                hint = (
                    "is the port taken? Choose another with TASKGATE_LISTEN_HOST and"
                    " TASKGATE_LISTEN_PORT"
                )
            raise ListenError(f"cannot listen on {wanted}: {hint}") from None
        return address

    def _add_port(self, acceptor: grpc.aio.Server, address: Address) -> None:
        if self._ports.credentials is None:
            acceptor.add_insecure_port(str(address))
            return
        credentials = self._ports.credentials()
        self._credentials.append(credentials)
        acceptor.add_secure_port(str(address), credentials)

    async def _listen_for_health(self) -> None:
        """A port of its own for probes that know no TLS, such as Kubernetes'."""
        if self._ports.health is None:
            return
        shared = int(self._ports.are_shared)
        server = grpc.aio.server(options=(("grpc.so_reuseport", shared),))
        server.add_generic_rpc_handlers((HealthHandlers(self._handlers.health),))
        try:
            port = server.add_insecure_port(str(self._ports.health))
        except RuntimeError:
            raise ListenError(
                f"cannot listen on {self._ports.health}: is the port taken? Choose another with"
                " TASKGATE_HEALTH_HOST and TASKGATE_HEALTH_PORT"
            ) from None
        await server.start()
        self._health_server = server
        self.health_address = Address(host=self._ports.health.host, port=port)
        LOG.info("listening for health", extra={"address": str(self.health_address)})

    async def drain(
        self, limit_seconds: float, *, grace_seconds: float = 0.0, stopping: Shutdown | None = None
    ) -> int:
        """Stops: tells NOT_SERVING, takes no more calls, lets those end that there are, cuts them.

        Args:
            limit_seconds: that calls in flight may take to end.
            grace_seconds: that new calls are taken before, for callers and load balancers to hear.
            stopping: says when all that is to be at once.

        Returns:
            How many calls were cut.
        """
        stopping = stopping or Shutdown()
        self._readiness.health.leave()
        told = {"in_flight": self._in_flight.count, "grace_seconds": grace_seconds}
        LOG.info("draining", extra=told)
        await stopping.pause(grace_seconds)
        stops = [asyncio.ensure_future(each.stop(limit_seconds)) for each in self._acceptors]
        # GOAWAY leaves first, so that the streams that end now come back on another connection.
        await asyncio.sleep(0)
        for background in self._work.backgrounds():
            background.stop()
        self._readiness.health.end_watches()
        cut = await self._cut(asyncio.gather(*stops), limit_seconds, stopping)
        if self._health_server is not None:
            await self._health_server.stop(None)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        count = sum(cut.values())
        LOG.info("stopped", extra={"cut": count, "cut_methods": cut})
        return count

    async def _cut(
        self, stopped: asyncio.Future[Any], limit_seconds: float, stopping: Shutdown
    ) -> dict[str, int]:
        """Waits for the calls in flight, cuts those that are late, and counts them by method."""
        hurry = asyncio.ensure_future(stopping.at_once.wait())
        # A little sooner than gRPC, which would cut them and say nothing.
        limit = limit_seconds - min(0.1, limit_seconds / 10)
        await asyncio.wait({stopped, hurry}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        cut = {} if stopped.done() else self._in_flight.by_method()
        if not stopped.done():
            await asyncio.gather(*(each.stop(None) for each in self._acceptors))
        await stopped
        return cut
