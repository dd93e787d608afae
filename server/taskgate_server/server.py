"""The server: listens for gRPC and HTTP, reports its health, drains.

At the start it listens first; then it loads the contracts and makes the AWS clients, while health
reports which AWS services are ready. At the end it reports NOT_SERVING but serves for a while; then
it accepts no new calls, ends streams so that their callers reconnect to another server, waits for
in-flight calls, and cuts those that are late.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import grpc

from taskgate_server.background_tasks import Background, BackgroundTask, Supervision
from taskgate_server.calls import Handler
from taskgate_server.config import Settings
from taskgate_server.connection_limits import ConnectionLimits
from taskgate_server.health import Readiness
from taskgate_server.ports import Address, ListenError, is_unix, reserve
from taskgate_server.shutdown import Shutdown
from taskgate_server.telemetry.logs import LOG

ACCEPTORS = 4
"""gRPC servers of this process, on one port. grpc.aio accepts new calls one by one, each with a
round trip to its poller thread; several servers accept more calls per round trip."""

MAX_PENDING_CALLS = 20_000
MAX_METADATA_BYTES = 32 * 1024
"""The limit of one call; a token with many groups fits."""
HANDSHAKE_MS = 10_000
"""The limit of a handshake (TLS and HTTP/2 settings); gRPC's default is two minutes."""
LOOKAHEAD_BYTES = 1024 * 1024


class HttpPort(Protocol):
    """The port for HTTP."""

    async def start(self) -> Address:
        """Listen; return the address with its actual port.

        Raises:
            OSError: the address is in use, or is not one of this machine.
        """

    def stop(self) -> None:
        """Accept no new connections, and end each one after its current response."""

    async def wait(self) -> None:
        """Wait until all requests have ended."""

    async def cut(self) -> None:
        """End all requests."""


class Handlers(grpc.GenericRpcHandler):
    """The handler of each method.

    The contracts are loaded after the server listens, or at the first call of one of their methods:
    loading takes 0.1 s, and health is reported at once.

    Args:
        health: handlers of health checks by method path.
        load: returns the handlers of the contracts by method path.
        unknown: returns the handler for any other method, without a slash; None for gRPC's own.
    """

    def __init__(
        self,
        health: Mapping[str, Handler],
        load: Callable[[], dict[str, Handler]],
        unknown: Callable[[str], Handler | None],
    ) -> None:
        self.health = health
        self.load = cache(load)
        """Returns the handlers of the contracts by method path."""
        self._unknown = unknown

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method."""
        method = details.method
        handler = self.health.get(method) or self.load().get(method)
        return handler or self._unknown(method.removeprefix("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports that the server listens on."""

    address: Address
    credentials: Callable[[], grpc.ServerCredentials] | None = None
    """Returns TLS credentials for one acceptor; None for plaintext."""
    health: Address | None = None
    """The plaintext port that serves health checks only; None for no such port."""
    are_shared: bool = False
    """Whether other workers listen there, too. Then the supervisor has reserved the ports."""
    http: HttpPort | None = None
    """The port for HTTP; None for no such port."""
    connection_limits: ConnectionLimits | None = None
    """The limits of connections, per address and in total; None for no limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundWork:
    """What the server does besides serving calls."""

    supervision: Supervision
    tasks: Sequence[BackgroundTask]
    """Run while the server serves; cancelled at its end."""
    starts: Sequence[Callable[[], None]]
    """Called when the server listens. They raise OSError if they cannot listen themselves."""
    backgrounds: Callable[[], Sequence[Background]]
    """Returns what is stopped when the server begins to shut down."""


def channel_options(settings: Settings) -> list[tuple[str, int]]:
    """Return the channel arguments of gRPC that depend on settings."""
    options = [
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        ("grpc.max_connection_idle_ms", round(settings.max_connection_idle_seconds * 1000)),
        # gRPC resets streams that exceed this limit before the client knows it, so that a burst on
        # a new connection must not exceed it.
        ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        # Without pings, calls on a half-open connection count against their caller's limits.
        ("grpc.keepalive_time_ms", round(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_seconds * 1000)),
        # While a keepalive ping is in flight, gRPC waits for this time, 60 s by default.
        ("grpc.http2.ping_timeout_ms", round(settings.keepalive_timeout_seconds * 1000)),
        # By default gRPC allows one ping in five minutes, and none without calls in two hours:
        # https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md
        ("grpc.keepalive_permit_without_calls", 1),
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            round(settings.min_ping_seconds * 1000),
        ),
    ]
    if settings.max_connection_age_seconds is not None:
        # https://github.com/grpc/proposal/blob/master/A9-server-side-conn-mgt.md
        grace = round(settings.max_connection_age_grace_seconds * 1000)
        options += [
            ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", grace),
        ]
    return options


def acceptor_options(settings: Settings, limits: ConnectionLimits | None) -> list[tuple[str, int]]:
    """Return all channel arguments of an acceptor."""
    options = [
        *channel_options(settings),
        # For the acceptors, which share the port; see `reserve`.
        ("grpc.so_reuseport", 1),
        # A fixed flow control window for each stream. By default gRPC lets the window grow with
        # the bandwidth: an upload of 192 MiB in messages of 1 MiB then took 25 to 31 MiB of
        # memory, and takes 17 with a fixed one.
        ("grpc.http2.bdp_probe", 0),
        # Calls that have arrived but not begun. By default gRPC drops some above 1,000 and all
        # above 3,000, and this server must cope with bursts of many callers.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        # gRPC refuses some calls with more than the first, and all with more than the second.
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ]
    if limits is not None:
        # The limit of one acceptor; it holds between two checks of all connections.
        options.append(("grpc.max_allowed_incoming_connections", limits.total))
    return options


class Server:
    """The server. Call `start`, then `drain`, once each.

    Args:
        ports: the ports to listen on.
        handlers: the handlers of all RPCs.
        in_flight: the number of calls being served, by method.
        readiness: the health that is reported.
        settings: the limits of messages, streams and connections.
        work: what the server does besides serving calls.
    """

    def __init__(
        self,
        ports: Ports,
        handlers: Handlers,
        in_flight: Counter[str],
        readiness: Readiness,
        settings: Settings,
        work: BackgroundWork,
    ) -> None:
        self._work = work
        self._ports = ports
        self._handlers = handlers
        self._in_flight = in_flight
        self._readiness = readiness
        self._background: set[asyncio.Task[None]] = set()
        options = acceptor_options(settings, ports.connection_limits)
        # A Unix socket cannot be shared: each acceptor would replace the previous one's.
        count = 1 if is_unix(ports.address.host) else ACCEPTORS
        self._acceptors = [grpc.aio.server(options=options) for _ in range(count)]
        self._health_server: grpc.aio.Server | None = None
        self.health_address: Address | None = None
        """The actual address of the port for health checks, after the start."""
        self.http_address: Address | None = None
        """The actual address of the port for HTTP, after the start."""
        # gRPC calls back into them at handshakes, and does not keep them alive itself.
        self._credentials: list[grpc.ServerCredentials] = []

    async def start(self) -> Address:
        """Listen, and start the background tasks; return the address with its actual port.

        Raises:
            ListenError: an address is in use, or is not one of this machine.
        """
        await self._readiness.update()
        try:
            address = await self._listen_on_all_ports()
        except ListenError:
            await self._stop_listening()
            raise
        LOG.info("listening", extra={"address": str(address)})
        tasks = [*self._readiness.tasks, *self._work.tasks]
        if self._ports.connection_limits is not None:
            ports = [each.port for each in (address, self.http_address) if each is not None]
            enforce = partial(self._ports.connection_limits.run, *ports)
            tasks.append(BackgroundTask("connection_limits", enforce))
        for task in tasks:
            running = self._work.supervision.keep_running(task)
            self._background.add(asyncio.ensure_future(running))
        self._handlers.load()
        return address

    async def _listen_on_all_ports(self) -> Address:
        address = await self._listen(self._ports.address)
        await self._listen_for_health()
        await self._listen_for_http()
        try:
            for begin in self._work.starts:
                begin()
        except OSError as error:
            raise ListenError(
                f"cannot listen for admin ({error.strerror}): choose another address with"
                " TASKGATE_ADMIN_HOST and TASKGATE_ADMIN_PORT"
            ) from None
        return address

    async def _stop_listening(self) -> None:
        """Stop what has started, without a drain: there are no calls yet."""
        servers = [*self._acceptors, self._health_server]
        await asyncio.gather(*(each.stop(None) for each in servers if each is not None))
        if self._ports.http is not None and self.http_address is not None:
            self._ports.http.stop()
            await self._ports.http.cut()

    async def _listen(self, configured: Address) -> Address:
        try:
            address = configured if self._ports.are_shared else reserve(configured)
            for acceptor in self._acceptors:
                acceptor.add_generic_rpc_handlers((self._handlers,))
                self._add_port(acceptor, address)
                await acceptor.start()
        except (OSError, RuntimeError):
            if is_unix(configured.host):
                hint = (
                    "does another server listen there, or is its directory missing or not"
                    " writable? Choose another with TASKGATE_LISTEN_HOST"
                )
            else:
                hint = (
                    "is the port taken? Choose another with TASKGATE_LISTEN_HOST and"
                    " TASKGATE_LISTEN_PORT"
                )
            raise ListenError(f"cannot listen on {configured}: {hint}") from None
        return address

    def _add_port(self, acceptor: grpc.aio.Server, address: Address) -> None:
        if self._ports.credentials is None:
            acceptor.add_insecure_port(str(address))
            return
        credentials = self._ports.credentials()
        self._credentials.append(credentials)
        acceptor.add_secure_port(str(address), credentials)

    async def _listen_for_health(self) -> None:
        """Listen on the port for probes without TLS, such as Kubernetes'."""
        if self._ports.health is None:
            return
        shared = int(self._ports.are_shared)
        server = grpc.aio.server(options=(("grpc.so_reuseport", shared),))
        handlers = Handlers(self._handlers.health, load=dict, unknown=lambda _: None)
        server.add_generic_rpc_handlers((handlers,))
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

    async def _listen_for_http(self) -> None:
        if self._ports.http is None:
            return
        try:
            self.http_address = await self._ports.http.start()
        except OSError as error:
            raise ListenError(
                f"cannot listen for HTTP ({error.strerror}): is the port taken? Choose another with"
                " TASKGATE_HTTP_HOST and TASKGATE_HTTP_PORT"
            ) from None
        LOG.info("listening for http", extra={"address": str(self.http_address)})

    async def drain(
        self, limit_seconds: float, *, grace_seconds: float = 0.0, stopping: Shutdown | None = None
    ) -> int:
        """Shut down: report NOT_SERVING, accept no new calls, wait for the others, cut late ones.

        Args:
            limit_seconds: how long in-flight calls may take to end.
            grace_seconds: how long new calls are accepted first, while callers and load balancers
                learn of the shutdown.
            stopping: ends all waits when the server is to stop at once.

        Returns:
            The number of calls that were cut.
        """
        stopping = stopping or Shutdown()
        self._readiness.health.shut_down()
        fields = {"in_flight": self._in_flight.total(), "grace_seconds": grace_seconds}
        LOG.info("draining", extra=fields)
        await stopping.pause(grace_seconds)
        stops = [asyncio.ensure_future(each.stop(limit_seconds)) for each in self._acceptors]
        # GOAWAY is sent first, so that clients reopen the streams on another connection.
        await asyncio.sleep(0)
        if self._ports.http is not None:
            self._ports.http.stop()
            stops.append(asyncio.ensure_future(self._ports.http.wait()))
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
        """Wait for in-flight calls and cut those that are late; return their numbers by method."""
        at_once = asyncio.ensure_future(stopping.at_once.wait())
        # A little sooner than gRPC, which would cut them without reporting it.
        limit = limit_seconds - min(0.1, limit_seconds / 10)
        await asyncio.wait({stopped, at_once}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        at_once.cancel()
        cut = {} if stopped.done() else dict(+self._in_flight)
        if not stopped.done():
            await asyncio.gather(*(each.stop(None) for each in self._acceptors))
            if self._ports.http is not None:
                await self._ports.http.cut()
        await stopped
        return cut
