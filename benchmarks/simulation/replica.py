"""One replica: the server's own parts, from the gateway to the watches, on one event loop's clock.

Put together as `doors` and `loading` do it, with the defaults of the settings. What is left out is
gRPC before it and boto3 behind it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import Final

from benchmarks.simulation.account import Account, ModelledSender
from benchmarks.simulation.clock import seeded
from benchmarks.simulation.world import Parent
from taskgate_server.aws_connections import (
    BATCH_LINGER_SECONDS,
    BATCH_SLOTS,
    MAX_CACHE_AGE_SECONDS,
)
from taskgate_server.config import AwsSettings, Settings
from taskgate_server.rpc import handlers
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import Backends, TaskBackend, ToNative, load_backend
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.poller import Poller
from taskgate_server.tasks.watch.service import Watches
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.gateway import Gateway, Sharing
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.request import AwsRequest
from taskgate_server.upstream.retries import Backoff, Retries, RetryBudget

PRESSED: Final = {"omics": "GetRunTask", "deadline": "ListTasks"}
SPECS: Final = {spec.name: spec for spec in SERVICES}


@cache
def _to_native(service: str) -> ToNative:
    spec = SPECS[service]
    operation = load_backend(spec).names.operation
    return handlers.load_operations(spec)[operation].to_message


def sharing(settings: Settings) -> Sharing:
    """Return the settings of sharing between callers."""
    return Sharing(
        default_max_age=settings.default_max_age_seconds,
        max_cache_age=MAX_CACHE_AGE_SECONDS,
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_bytes,
        batch_slots=BATCH_SLOTS,
        batch_linger=BATCH_LINGER_SECONDS,
    )


class Replica:
    """A server for one AWS service.

    Args:
        account: the AWS account that all replicas share.
        number: its index.
        seed: of its random choices.
        aws: settings of calls to AWS; the defaults if None.
    """

    def __init__(
        self, account: Account, number: int, seed: int, aws: AwsSettings | None = None
    ) -> None:
        self.number = number
        self.is_dead = False
        self.streams: set[asyncio.Task[None]] = set()
        """The watches that it serves."""
        self.reads = 0
        """The number of reads that it received."""
        aws, settings = aws or AwsSettings(), Settings()
        self.spec = SPECS[account.world.service]
        sender = ModelledSender(self.spec, account, number)
        clock = asyncio.get_running_loop().time
        random = seeded(f"replica {seed} {number}")
        spec = _paced_spec(self.spec, aws)
        self.limiter = RateLimiter(
            spec, clock=clock, random=random, max_in_flight=aws.max_concurrent_calls
        )
        budget = RetryBudget(clock=clock)
        backoff = Backoff(max_attempts=aws.max_attempts)
        retries = Retries(budget, backoff, clock=clock, random=random)
        breaker = CircuitBreaker(spec, clock=clock, random=random)
        self.gateway = Gateway(
            UpstreamPipeline(sender, self.limiter, breaker, retries),
            sharing(settings),
            default_timeout=settings.default_time_limit_seconds,
            clock=clock,
        )
        self.backend: TaskBackend = load_backend(self.spec)(
            self.gateway, _to_native(self.spec.name)
        )
        self.hub = Hub(
            Backends({self.spec.name: self.backend}),
            {self.spec.name: aws.watch_calls_per_second},
            clock=clock,
            random=random,
        )
        self.watches = Watches(self.hub, settings.default_time_limit_seconds)

    def unbatched_request(self, parent: Parent) -> AwsRequest:
        """Return a request that is not batched, so that each is a call of `PRESSED`."""
        params = parent.params(parent.tasks[0])
        if self.spec.name == "deadline":
            del params["taskId"]
        return self.gateway.make_request(PRESSED[self.spec.name], params)

    def poller(self, parent: str) -> Poller:
        """Return the poller of a parent that has watchers."""
        backend, found = self.hub.backends.parent(parent, "parent", {"jobs", "runs"})
        return self.hub.poll_parent(backend, found, full_view=False)

    async def die(self) -> None:
        """End without closing anything, as a killed process does."""
        self.is_dead = True
        for stream in list(self.streams):
            stream.cancel()
        await self.close()

    async def close(self) -> None:
        """Stop calling AWS."""
        await self.hub.close()
        await self.gateway.close()


def _paced_spec(spec: ServiceSpec, aws: AwsSettings) -> ServiceSpec:
    rates = {**spec.request_rates, **aws.request_rates}
    return replace(spec, request_rates=rates)
