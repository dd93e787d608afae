"""What the server tells by grpc.health.v1: what can be used now, and that it is about to go.

Three things make an AWS service ready: a client with credentials, an endpoint that takes
connections, and that AWS neither fails nor throttles all calls. None of them is found out by a call
of AWS's API, which would spend quota; see `upstream.obstacles`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2

from taskgate_server.reloading import Reloading
from taskgate_server.supervision import BackgroundTask
from taskgate_server.telemetry import LOG
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.reach import Reach

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

WHOLE: Final = ""
"""The name by which grpc.health.v1 knows the server as a whole."""

LIVE: Final = "live"
"""A name that serves as long as the process answers, whatever AWS does: nobody is helped by a
restart of a server that lacks credentials."""

TASK_SERVICE: Final = "taskgate.v1.TaskService"

TELL_SECONDS: Final = 1.0
"""How often it is looked at what becomes true by the passing of time alone."""


class _Servicer(health.aio.HealthServicer):
    """Lets those go who watch, which gRPC's own does not: a drain would wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Timeout] = set()
        self._is_over = False

    async def Watch(  # noqa: N802  # gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> None:
        """See grpc.health.v1."""
        scope = asyncio.timeout(0 if self._is_over else None)
        try:
            async with scope:
                self._watches.add(scope)
                await super().Watch(request, context)
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this server stops")
        finally:
            self._watches.discard(scope)

    def end_watches(self) -> None:
        """Ends the streams that there are, and each that comes."""
        self._is_over = True
        now = asyncio.get_running_loop().time()
        for scope in self._watches:
            if not scope.expired():
                scope.reschedule(now)


class Readiness:
    """Keeps health equal to what is known of the AWS services.

    One AWS service that is badly set up must not take the other from its callers: the whole serves
    when any has a client. Nor may one target take another: a service's health is the default
    target's. And while AWS fails, the server as a whole goes on serving: without calls nobody would
    see it recover.

    Args:
        gateways: to the AWS services; the first of each is the default target's.
        reloading: files and keys that are reloaded. Each has a health of its own under its name,
            NOT_SERVING while its active version is not the newest. The server as a whole still
            serves: readiness would take all replicas from their callers at once.
    """

    def __init__(self, gateways: Sequence[Gateway], reloading: Sequence[Reloading] = ()) -> None:
        self._gateways = gateways
        self._reloading = reloading
        self._told: dict[str, bool] = {}
        self.servicer = _Servicer()

    @property
    def runs(self) -> list[BackgroundTask]:
        """What follows the AWS services, until it is cancelled."""
        runs = [BackgroundTask("readiness", self._look)]
        for gateway in self._gateways:
            connection, breaker = gateway.connection, gateway.paced.breaker
            runs.append(BackgroundTask("aws_reachability", Reach(connection).run))
            runs += [
                BackgroundTask("readiness", self._following(each.changed))
                for each in (connection, breaker)
            ]
        return runs

    async def tell(self) -> None:
        """Tells what has changed."""
        gateways = self._gateways
        ready: dict[str, bool] = {}
        for each in gateways:
            ready.setdefault(each.spec.grpc_service_full_name, each.obstacle is None)
        any_client = any(each.connection.client is not None for each in gateways)
        current = {each.name: each.is_current for each in self._reloading}
        told = {**current, **ready, TASK_SERVICE: any_client, WHOLE: any_client, LIVE: True}
        for name, serves in told.items():
            if self._told.get(name) is serves:
                continue
            if name in self._told:
                LOG.info("health", extra={"grpc_service": name, "serving": serves})
            self._told[name] = serves
            await self.servicer.set(name, SERVING if serves else NOT_SERVING)

    async def leave(self) -> None:
        """Tells NOT_SERVING of everything, for good."""
        await self.servicer.enter_graceful_shutdown()

    def end_watches(self) -> None:
        """Lets those go who watch health."""
        self.servicer.end_watches()

    def _following(
        self, changed: Callable[[int], Coroutine[Any, Any, int]]
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        async def follow() -> None:
            seen = 0
            while True:
                seen = await changed(seen)
                await self.tell()

        return follow

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self.tell()
