"""What the server tells by grpc.health.v1: what can be used now, and that it is about to go.

An AWS service is ready while `Gateway.not_ready_reason` is None: there is a client with
credentials, AWS responds (`upstream.availability`), and it does not throttle all calls. While it is
ready and calls succeed, nothing is sent to find that out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from taskgate_server.background_tasks import BackgroundTask
from taskgate_server.health_service import Health
from taskgate_server.reloading import Reloading
from taskgate_server.telemetry import LOG
from taskgate_server.upstream.availability import TICK_SECONDS, EndpointProbe
from taskgate_server.upstream.gateway import Gateway

WHOLE: Final = ""
"""The name by which grpc.health.v1 knows the server as a whole."""

LIVE: Final = "live"
"""A name that serves as long as the process answers, whatever AWS does: nobody is helped by a
restart of a server that lacks credentials."""

TASK_SERVICE: Final = "taskgate.v1.TaskService"


class Readiness:
    """Keeps health equal to what is known of the AWS services.

    One AWS service that is badly set up must not take the other from its callers: the whole serves
    when any has a client. Nor may one target take another: a service's health is the default
    target's. And while AWS fails, the server as a whole goes on serving: without calls nobody would
    see it recover.

    Args:
        gateways: to the AWS services; the first of each is the default target's.
        others: gateways without a health of their own, whose availability is followed, too.
        reloading: files and keys that are reloaded. Each has a health of its own under its name,
            NOT_SERVING while its active version is not the newest. The server as a whole still
            serves: readiness would take all replicas from their callers at once.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        reloading: Sequence[Reloading] = (),
        others: Sequence[Gateway] = (),
    ) -> None:
        self._gateways = gateways
        self._followed = [*gateways, *others]
        self._reloading = reloading
        self._told: dict[str, bool] = {}
        self.health = Health()

    @property
    def runs(self) -> list[BackgroundTask]:
        """What follows the AWS services, until it is cancelled."""
        runs = [BackgroundTask("readiness", self._look)]
        for gateway in self._gateways:
            connection, breaker = gateway.connection, gateway.pipeline.breaker
            runs.append(BackgroundTask("aws_connection", connection.run))
            runs.append(BackgroundTask("aws_reachability", EndpointProbe(connection).run))
            runs += [
                BackgroundTask("readiness", self._following(each.wait_for_change))
                for each in (connection, breaker)
            ]
        return runs

    async def tell(self) -> None:
        """Report what has changed."""
        for each in self._followed:
            each.availability.tick()
        gateways = self._gateways
        ready: dict[str, bool] = {}
        for each in gateways:
            ready.setdefault(each.spec.grpc_service_full_name, each.not_ready_reason is None)
        any_client = any(each.connection.client is not None for each in gateways)
        current = {each.name: each.is_current for each in self._reloading}
        told = {**current, **ready, TASK_SERVICE: any_client, WHOLE: any_client, LIVE: True}
        for name, serves in told.items():
            if self._told.get(name) is serves:
                continue
            if name in self._told:
                LOG.info("health", extra={"grpc_service": name, "serving": serves})
            self._told[name] = serves
            self.health.set(name, serving=serves)

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
            await asyncio.sleep(TICK_SECONDS)
            await self.tell()
