"""Metrics that are read when Prometheus scrapes: the server's state, and counts of other modules.

They are read in the event loop, all at once, so that they are consistent. prometheus_client formats
them in another thread. `telemetry.metrics` has the metrics that are counted at each event.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from taskgate_server.background_tasks import Supervision
from taskgate_server.reloading import Reloading
from taskgate_server.telemetry.logs import BUGS
from taskgate_server.upstream.circuit_breaker import State
from taskgate_server.upstream.event_queue import EventUse
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.rate_limit.token_bucket import TokenBucket

if TYPE_CHECKING:  # loaded with the contracts, or with the settings that need them
    from taskgate_server.auth.guard import Guard
    from taskgate_server.tasks.logs.streams import Logs
    from taskgate_server.tasks.watch.hub import Hub
    from taskgate_server.telemetry.traces import Traces
    from taskgate_server.upstream.event_queue import EventQueue

MAX_WAIT_SECONDS: Final = 5.0
"""How long a scrape may wait for the event loop. Prometheus gives up after 10 s by default."""

Values: TypeAlias = float | Mapping[str, float] | Mapping[tuple[str, ...], float]
"""The value of a metric without labels, or the values by one label or by several."""

GATEWAY: Final = ("target", "service")
"""The labels of a gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The objects whose state and counts are metrics."""

    in_flight: Counter[str]
    """The number of calls being served, by method."""
    gateways: Mapping[tuple[str, str], Gateway]
    """By the labels `target` and `service`."""
    queues: Sequence[EventQueue]
    guard: Guard | None
    traces: Traces | None = None
    supervision: Supervision
    reloading: Sequence[Reloading]
    dropped_lines: Mapping[str, int] = field(default_factory=dict)
    """Log lines that were not written, by kind."""
    served: Callable[[], Sequence[tuple[str, Hub, Logs]]]
    """Returns each target by name, with its watches and its followed logs."""


class MetricsCollector(Collector):
    """Reads the metrics for a registry of prometheus_client.

    Args:
        sources: what is read.
        clock: monotonic seconds.
    """

    def __init__(self, sources: Sources, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock = clock

    def begin(self) -> None:
        """Remember the running event loop, in which the sources are read."""
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterable[Metric]:
        """Return all metrics. Called in another thread than the event loop's.

        Raises:
            TimeoutError: the event loop is blocked; the scrape fails.
        """
        if self._loop is None:
            return []
        sent_at = self._clock()
        read = asyncio.run_coroutine_threadsafe(self._read(sent_at), self._loop)
        return read.result(MAX_WAIT_SECONDS)

    async def _read(self, sent_at: float) -> list[Metric]:
        delay = self._clock() - sent_at
        return [
            _gauge("event_loop_delay_seconds", "How long the scrape waited for its turn.", delay),
            *self._server(),
            *self._gateways(),
            *self._watches(),
            *self._events(),
            *self._spans(),
            *self._reloads(),
        ]

    def _server(self) -> Iterator[Metric]:
        guard = self._sources.guard
        limited = guard.limits.refused if guard else 0
        denied = guard.decisions.denied if guard and guard.decisions else 0
        yield _gauge("build_info", "1; the version.", {version("taskgate"): 1}, "version")
        yield _gauge(
            "event_loop_tasks",
            "asyncio tasks of the process: some for each RPC and poller, and a fixed number.",
            len(asyncio.all_tasks()),
        )
        yield _gauge("rpcs_in_flight", "Calls being served.", self._sources.in_flight.total())
        yield _counter("bugs", "Unexpected errors; each is a line `bug` in the log.", BUGS.total())
        yield _counter("policy_denials", "Calls, or items of batches, denied by policy.", denied)
        yield _counter("caller_limits", "Calls refused because of a limit of one caller.", limited)
        yield _counter(
            "background_failures",
            "Background tasks that failed and were restarted; each is a line `bug` in the log.",
            self._sources.supervision.failures,
            "task",
        )
        yield _counter(
            "log_lines_dropped",
            "Log lines that were not written because stderr is full, closed or fails, by kind.",
            self._sources.dropped_lines,
            "kind",
        )

    def _gateways(self) -> Iterator[Metric]:
        """Yield the metrics of each AWS service of each target."""
        each, by_label = self._each_gateway, self._each_gateway_by_label
        ready = each(lambda gateway: gateway.not_ready_reason is None)
        description = "1 if the service can be called: there are credentials, and it does not fail."
        yield _gauge("aws_ready", description, ready, *GATEWAY)
        description = "1 for the state of the circuit breaker."
        yield _gauge("breaker_state", description, by_label(_breaker_states), *GATEWAY, "state")
        refused = each(attrgetter("pipeline.breaker.refused"))
        description = "Calls that the circuit breaker refused."
        yield _counter("breaker_refused", description, refused, *GATEWAY)
        retries = each(attrgetter("pipeline.retries.count"))
        yield _counter("aws_retries", "Calls to AWS that were sent again.", retries, *GATEWAY)
        left = each(attrgetter("pipeline.retries.budget.left"))
        yield _gauge("aws_retry_budget", "Retries that may be sent now.", left, *GATEWAY)
        description = "Reads that may be shared, by the origin of the response: see operations.md."
        yield _counter("reads", description, by_label(_reads), *GATEWAY, "by")
        entries = each(lambda gateway: len(gateway.cache))
        yield _gauge("cache_entries", "Cached responses.", entries, *GATEWAY)
        size = each(attrgetter("cache.size"))
        yield _gauge("cache_bytes", "Bytes of cached responses.", size, *GATEWAY)
        oldest = each(partial(_age_of_oldest, self._clock()))
        description = "Age of the oldest cached response; 0 without any."
        yield _gauge("cache_oldest_seconds", description, oldest, *GATEWAY)
        waiting = by_label(lambda gateway: gateway.batched_reads.waiting())
        description = "Reads that wait to be sent in a batch."
        yield _gauge("batch_waiting", description, waiting, *GATEWAY, "operation")
        for name, description, rate in (
            ("quota_rate", "Calls per second that may be sent.", attrgetter("rate")),
            ("quota_tokens", "Calls that may be sent at once.", attrgetter("tokens")),
            ("quota_waiting", "Calls that wait for their turn.", len),
        ):
            values = by_label(partial(_by_operation, rate))
            yield _gauge(name, description, values, *GATEWAY, "operation")

    def _each_gateway(self, read: Callable[[Gateway], float]) -> dict[tuple[str, ...], float]:
        return {key: read(gateway) for key, gateway in self._sources.gateways.items()}

    def _each_gateway_by_label(
        self, read: Callable[[Gateway], Mapping[str, float]]
    ) -> dict[tuple[str, ...], float]:
        return {
            (*key, label): number
            for key, gateway in self._sources.gateways.items()
            for label, number in read(gateway).items()
        }

    def _watches(self) -> Iterator[Metric]:
        served = self._sources.served()
        pollers = {target: len(hub) for target, hub, _ in served}
        watchers = {target: hub.watchers for target, hub, _ in served}
        followers = {target: len(logs.followed) for target, _, logs in served}
        yield _gauge("pollers", "Shared pollers.", pollers, "target")
        yield _gauge("watchers", "Watches and waits.", watchers, "target")
        yield _gauge("log_followers", "Followed logs.", followers, "target")

    def _events(self) -> Iterator[Metric]:
        queues = self._sources.queues
        counts = {use.value: sum(each.uses[use] for each in queues) for use in EventUse}
        yield _counter("events", "Events received, by their use.", counts, "use")
        yield SummaryMetricFamily(
            "taskgate_event_lag_seconds",
            "Time from an event, as AWS reports it, to its receipt.",
            count_value=sum(each.lag.count for each in queues),
            sum_value=sum(each.lag.seconds for each in queues),
        )

    def _spans(self) -> Iterator[Metric]:
        traces = self._sources.traces
        counts = dict.fromkeys(("exported", "failed", "dropped"), 0)
        if traces is not None:
            exports = traces.exports
            counts |= {"exported": exports.exported, "failed": exports.failed}
            counts |= {"dropped": traces.queue.dropped}
        yield _counter("spans", "Spans of traces, by outcome.", counts, "outcome")

    def _reloads(self) -> Iterator[Metric]:
        files = self._sources.reloading
        yield _gauge(
            "reload_active_age_seconds",
            "How long the active version of files or keys has been active.",
            {each.name: each.active_seconds for each in files},
            "file",
        )
        yield _gauge(
            "reload_outdated",
            "1 while the active version is not the newest: that was rejected or cannot be read.",
            {each.name: not each.is_current for each in files},
            "file",
        )
        counts: dict[tuple[str, ...], int] = {}
        for each in files:
            counts[each.name, "accepted"] = each.changes
            counts[each.name, "rejected"] = each.rejected
        description = "Newer versions of files or keys, by outcome."
        yield _counter("reloads", description, counts, "file", "outcome")


def _age_of_oldest(now: float, gateway: Gateway) -> float:
    oldest = gateway.cache.oldest
    return 0.0 if oldest is None else now - oldest


def _breaker_states(gateway: Gateway) -> Mapping[str, float]:
    return {state.value: gateway.pipeline.breaker.state is state for state in State}


def _reads(gateway: Gateway) -> Mapping[str, float]:
    return {
        "cache": gateway.cache.hits,
        "joined": gateway.in_flight_calls.joined,
        "batched": gateway.batched_reads.sent_in_batches,
        "sent": gateway.sent_singly + gateway.batched_reads.sent_singly,
    }


def _by_operation(read: Callable[[TokenBucket], float], gateway: Gateway) -> dict[str, float]:
    buckets = gateway.pipeline.limiter.buckets
    return {operation: read(bucket) for operation, bucket in buckets.items()}


def _gauge(name: str, description: str, values: Values, *labels: str) -> Metric:
    return _add(GaugeMetricFamily(f"taskgate_{name}", description, labels=labels), values)


def _counter(name: str, description: str, values: Values, *labels: str) -> Metric:
    return _add(CounterMetricFamily(f"taskgate_{name}", description, labels=labels), values)


def _add(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    by_label = values.items() if isinstance(values, Mapping) else [((), values)]
    for label, value in by_label:
        family.add_metric([label] if isinstance(label, str) else label, float(value))
    return family
