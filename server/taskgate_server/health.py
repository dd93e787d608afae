"""Readiness: the health that the server reports through grpc.health.v1.

An AWS service is ready while `Gateway.not_ready_reason` is None: there is a client with
credentials, AWS responds (`upstream.availability`), and it does not throttle all calls. While it is
ready and calls succeed, no extra calls are sent to verify that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from taskgate_server.background_tasks import BackgroundTask
from taskgate_server.health_service import Health
from taskgate_server.reloading import Reloading
from taskgate_server.telemetry.logs import LOG
from taskgate_server.upstream.availability import TICK_SECONDS, probe_endpoint
from taskgate_server.upstream.gateway import Gateway

SERVER: Final = ""
"""The name of the server as a whole in grpc.health.v1."""

LIVE: Final = "live"
"""A name that is SERVING while the process responds, whatever AWS does: restarting a server that
lacks credentials does not help."""

TASK_SERVICE: Final = "taskgate.v1.TaskService"


class Readiness:
    """Updates the reported health from the state of the AWS services.

    The server as a whole is SERVING when any AWS service has a client: one service that is badly
    configured must not make the other unavailable. It stays SERVING while AWS fails, because only
    calls show that AWS has recovered. The health of a service is that of the default target.

    Args:
        gateways: to the AWS services; the first one of each service is the default target's.
        reloading: files and keys that are reloaded. Each has a health under its own name:
            NOT_SERVING while its active version is not the newest. The server as a whole still
            serves, since the same bad file would make all replicas unavailable at once.
        others: gateways without a health of their own, whose availability is updated, too.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        reloading: Sequence[Reloading] = (),
        others: Sequence[Gateway] = (),
    ) -> None:
        self._gateways = gateways
        self._all_gateways = [*gateways, *others]
        self._reloading = reloading
        self._reported: dict[str, bool] = {}
        self.health = Health()

    @property
    def tasks(self) -> list[BackgroundTask]:
        """The background tasks that keep the health up to date."""
        tasks = [BackgroundTask("readiness", self._update_periodically)]
        for gateway in self._gateways:
            connection, breaker = gateway.connection, gateway.pipeline.breaker
            tasks += [
                BackgroundTask("aws_connection", connection.run),
                BackgroundTask("aws_reachability", partial(probe_endpoint, connection)),
                BackgroundTask("readiness", self._update_after(connection.wait_for_change)),
                BackgroundTask("readiness", self._update_after(breaker.wait_for_change)),
            ]
        return tasks

    async def update(self) -> None:
        """Report the current health, and log what has changed."""
        for gateway in self._all_gateways:
            gateway.availability.tick()
        services: dict[str, bool] = {}
        for gateway in self._gateways:
            name = gateway.spec.grpc_service_full_name
            services.setdefault(name, gateway.not_ready_reason is None)
        any_client = any(each.connection.client is not None for each in self._gateways)
        current = {each.name: each.is_current for each in self._reloading}
        health = {**current, **services, TASK_SERVICE: any_client, SERVER: any_client, LIVE: True}
        for name, is_serving in health.items():
            if self._reported.get(name) is is_serving:
                continue
            if name in self._reported:
                LOG.info("health", extra={"grpc_service": name, "serving": is_serving})
            self._reported[name] = is_serving
            self.health.set(name, serving=is_serving)

    def _update_after(
        self, changed: Callable[[int], Coroutine[Any, Any, int]]
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            changes = 0
            while True:
                changes = await changed(changes)
                await self.update()

        return run

    async def _update_periodically(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.update()
