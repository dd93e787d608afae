"""AWS in memory whose tasks have versions, and a gateway to it on a clock that the test sets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from taskgate_server.errors import Origin, TaskgateError
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.upstream.aws_client.sender import AwsResponse, Sender
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.gateway import Gateway, Sharing
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.retries import Backoff, Retries, RetryBudget

FARM = {"farmId": "f", "queueId": "q", "jobId": "j", "stepId": "s"}


@dataclass
class Call:
    """A call without a response. The response is determined when the call is sent."""

    operation: str
    params: Mapping[str, Any]
    sent_at: float
    seen: dict[str, int]
    reply: asyncio.Future[None]


@dataclass
class Aws:
    """Tasks with versions. A read returns the version at the time it was sent, the oldest that AWS
    may return; a write is executed when it ends, the latest possible time."""

    now: float = 1000.0
    versions: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    sent: list[tuple[str, float]] = field(default_factory=list)
    failing: TaskgateError | None = None
    failing_tasks: frozenset[str] = frozenset()
    """Those whose part of a batch fails."""
    max_attempts: int = 1

    connection = SimpleNamespace(spec=DEADLINE)
    meter = None

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,  # noqa: ARG002  # the test ends calls
        on_sent: Callable[[], None] = lambda: None,
    ) -> AwsResponse:
        on_sent()
        self.sent.append((operation, self.now))
        reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = Call(operation, params, self.now, dict(self.versions), reply)
        self.calls.append(call)
        await reply
        if self.failing is not None:
            raise self.failing
        return AwsResponse(value=self._value(call), request_id="r", observe_time=0.0, size=10)

    def _value(self, call: Call) -> dict[str, Any]:
        if call.operation == "BatchGetTask":
            items = call.params["identifiers"]
            failed = {"code": "InternalServerErrorException", "message": "m"}
            return {
                "tasks": [
                    {**item, **self._task(call, item["taskId"])}
                    for item in items
                    if item["taskId"] not in self.failing_tasks
                ],
                "errors": [
                    {**item, **failed} for item in items if item["taskId"] in self.failing_tasks
                ],
            }
        return self._task(call, call.params["taskId"])

    def _task(self, call: Call, task: str) -> dict[str, Any]:
        return {"taskId": task, "version": call.seen.get(task, 0), "sent_at": call.sent_at}

    def finish(self, index: int = 0) -> None:
        call = self.calls.pop(index)
        if call.operation == "UpdateTask":
            task = call.params["taskId"]
            self.versions[task] = self.versions.get(task, 0) + 1
        if not call.reply.done():
            call.reply.set_result(None)

    def clock(self) -> float:
        return self.now

    def origin(self, operation: str, _: object = None) -> Origin:
        return Origin(service="deadline", title="AWS", domain="aws", operation=operation)

    def gateway(self, max_in_flight: float = math.inf, **more: Any) -> Gateway:
        async def sleep(_: float) -> None:
            return None

        sharing = Sharing(
            **{
                "default_max_age": 1.0,
                "max_cache_age": 100.0,
                "max_entries": 1000,
                "max_bytes": 100_000,
                "batch_slots": 2,
                "batch_linger": 0.0,
                **more,
            }
        )
        clock = self.clock
        paced = UpstreamPipeline(
            cast("Sender", self),
            RateLimiter(DEADLINE, clock=clock, max_in_flight=max_in_flight),
            CircuitBreaker(DEADLINE, clock=clock),
            Retries(RetryBudget(clock=clock), Backoff(max_attempts=self.max_attempts), clock=clock),
        )
        return Gateway(
            paced,
            sharing,
            default_timeout=1e6,
            clock=clock,
            sleep=sleep,
        )
