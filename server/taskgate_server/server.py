"""The gRPC server: listens, tells its health, drains.

Start: listen first, then load the contracts and make the AWS clients, while health says which AWS
service can be used. Stop: NOT_SERVING, no new calls, wait for those in flight, cut the rest.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from taskgate_server.calls import CallsInFlight, Handler, Work
from taskgate_server.telemetry import LOG
from taskgate_server.upstream.gateway import Gateway

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

WHOLE = ""
"""The name by which grpc.health.v1 knows the server as a whole."""

ACCEPTORS = 4
"""gRPC servers of this process, on one port. grpc.aio takes new calls one by one, each with a trip
through its poller's thread; several of them find more to do in each trip."""

MAX_PENDING_CALLS = 20_000
LOOKAHEAD_BYTES = 1024 * 1024

TASK_SERVICE = "taskgate.v1.TaskService"


class ListenError(Exception):
    """The address cannot be listened on."""


class Handlers(grpc.GenericRpcHandler):
    """Method -> handler, loaded after the server listens or when the first call comes, if sooner.

    Loading the contracts takes 0.1 s, which nobody has to wait for who only asks for health.
    """

    def __init__(
        self, load: Callable[[], dict[str, Handler]], unknown: Callable[[], None] = lambda: None
    ) -> None:
        self._load = load
        self._unknown = unknown
        self._by_method: dict[str, Handler] | None = None

    def load(self) -> dict[str, Handler]:
        """All handlers by method path."""
        if self._by_method is None:
            self._by_method = self._load()
        return self._by_method

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a method; None for a method that is not here."""
        handler = self.load().get(details.method)
        if handler is None:
            self._unknown()
        return handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the server listens, and how."""

    address: Address
    credentials: Callable[[], grpc.ServerCredentials] | None = None
    """Makes those of one acceptor; None for plaintext."""
    health: Address | None = None
    """Where nothing but health is told, in plaintext; None for nowhere."""


def _reserve(address: Address) -> Address:
    """The address with its real port, of which it is sure that nobody listens there.

    The acceptors share the port, and the system would let another process share it too.

    Raises:
        OSError: somebody listens there, or it is not this machine's.
    """
    infos = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, where = infos[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)
        return Address(host=address.host, port=probe.getsockname()[1])


class Server:
    """One server: `start`, then `drain`, once each.

    Args:
        ports: where to listen, and how.
        handlers: of all RPCs.
        in_flight: counts the calls being served.
        gateways: to the AWS services whose health is told.
        max_request_bytes: of one message.
        also: what else runs in the background until the server stops.
    """

    def __init__(
        self,
        ports: Ports,
        handlers: Handlers,
        in_flight: CallsInFlight,
        gateways: Sequence[Gateway],
        max_request_bytes: int,
        work: Work,
    ) -> None:
        self._work = work
        self._ports = ports
        self._handlers = handlers
        self._in_flight = in_flight
        self._gateways = gateways
        self._health = health.aio.HealthServicer()
        self._background: set[asyncio.Task[None]] = set()
        options = (
            # For the acceptors, which share the port; see `_reserve`.
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", max_request_bytes),
            # What a caller may send ahead of what has been read, for each stream. By default
            # gRPC lets it grow with the bandwidth: an upload of 192 MiB in messages of 1 MiB
            # then took 25 to 31 MiB of memory, and takes 17 so.
            ("grpc.http2.bdp_probe", 0),
            # Calls that have come and not been begun. By default gRPC drops some from 1,000 on,
            # all from 3,000 on, and a burst of many callers is what this server is for.
            ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
            ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        )
        self._acceptors = [grpc.aio.server(options=options) for _ in range(ACCEPTORS)]
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
        await self._tell_health()
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
        for gateway in self._gateways:
            self._run(gateway.connection.run())
            self._run(self._follow_connection(gateway))
            self._run(self._follow_breaker(gateway))
        for make in self._work.runs:
            self._run(make())
        self._handlers.load()
        return address

    async def _listen(self, wanted: Address) -> Address:
        try:
            address = _reserve(wanted)
            for acceptor in self._acceptors:
                health_pb2_grpc.add_HealthServicer_to_server(self._health, acceptor)
                acceptor.add_generic_rpc_handlers((self._handlers,))
                self._add_port(acceptor, address)
                await acceptor.start()
        except (OSError, RuntimeError):
            raise ListenError(
                f"cannot listen on {wanted}: is the port taken? Choose another with"
                " TASKGATE_LISTEN_HOST and TASKGATE_LISTEN_PORT"
            ) from None
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
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
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

    async def drain(self, limit_seconds: float) -> int:
        """Stops: tells NOT_SERVING, lets calls end for so long, then cuts them.

        Returns:
            How many calls were cut.
        """
        await self._health.enter_graceful_shutdown()
        LOG.info("draining", extra={"in_flight": self._in_flight.count})
        for background in self._work.backgrounds:
            background.stop()
        stops = (acceptor.stop(limit_seconds) for acceptor in self._acceptors)
        stopping = asyncio.gather(*stops)
        await asyncio.wait([stopping], timeout=limit_seconds - min(0.1, limit_seconds / 10))
        cut = 0 if stopping.done() else self._in_flight.count
        await stopping
        if self._health_server is not None:
            await self._health_server.stop(None)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        LOG.info("stopped", extra={"cut": cut})
        return cut

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._background.add(asyncio.ensure_future(coroutine))

    async def _follow_connection(self, gateway: Gateway) -> None:
        """Keeps health equal to what the connection knows."""
        seen = 0
        while True:
            seen = await gateway.connection.changed(seen)
            await self._tell_health()

    async def _follow_breaker(self, gateway: Gateway) -> None:
        """The same for the circuit breaker; once it takes a probe, callers are welcome again."""
        seen = 0
        while True:
            seen = await gateway.paced.breaker.changed(seen)
            await self._tell_health()
            refused_for = gateway.paced.breaker.refuses_for()
            if refused_for:
                await asyncio.sleep(refused_for)
                await self._tell_health()

    async def _tell_health(self) -> None:
        """An AWS service serves when it can be asked; the whole does when any has a client.

        One AWS service that is badly set up must not take the other from its callers, nor may one
        target take another: a service's health is the default target's. And while AWS fails, the
        server as a whole goes on serving: without calls nobody would see it recover.
        """
        ready: dict[str, bool] = {}
        for each in self._gateways:  # the first of a service is the default target's
            ready.setdefault(each.spec.grpc_service_full_name, each.obstacle is None)
        any_client = any(each.connection.client is not None for each in self._gateways)
        for name, serves in {**ready, TASK_SERVICE: any_client, WHOLE: any_client}.items():
            await self._health.set(name, SERVING if serves else NOT_SERVING)
