"""Metrics that are read when Prometheus asks: what there is, and counts kept where things happen.

They are read in the event loop, in one go, and so fit each other. The lines are made elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from taskgate_server.background_tasks import Supervision
from taskgate_server.reloading import Reloading
from taskgate_server.rpcs_in_flight import RpcsInFlight
from taskgate_server.telemetry import BUGS
from taskgate_server.telemetry.metrics import Metrics
from taskgate_server.upstream.circuit_breaker import State
from taskgate_server.upstream.event_queue import EventUse
from taskgate_server.upstream.gateway import Gateway

if TYPE_CHECKING:  # it comes with the contracts, or with the settings that ask for it
    from taskgate_server.auth.guard import Guard
    from taskgate_server.tasks.logs.streams import Logs
    from taskgate_server.tasks.watch.hub import Hub
    from taskgate_server.telemetry.traces import Traces
    from taskgate_server.upstream.event_queue import EventQueue

MAX_WAIT_SECONDS: Final = 5.0
"""How long the event loop may let a scrape wait. Prometheus gives up after 10 s by default."""

Sample: TypeAlias = tuple[Sequence[str], float]
"""The values of labels, and the metric's."""


class Served(Protocol):
    """What serves a target, as `rpc_registry.ServedTarget` has it."""

    @property
    def target(self) -> str:
        """Its name."""

    @property
    def hub(self) -> Hub:
        """Its watches and waits."""

    @property
    def logs(self) -> Logs:
        """Its followed logs."""


@dataclass(slots=True, kw_only=True)
class Sources:
    """What is read."""

    in_flight: RpcsInFlight
    gateways: Mapping[tuple[str, str], Gateway]
    """By the labels `target` and `service`."""
    queues: Sequence[EventQueue]
    guard: Guard | None
    traces: Traces | None = None
    supervision: Supervision
    reloading: Sequence[Reloading]
    dropped_lines: Mapping[str, int] = field(default_factory=dict)
    """Log lines that were not written, by kind."""
    served: Callable[[], Sequence[Served]]
    """Returns what serves each target."""


class MetricsCollector(Collector):
    """Reads them for a registry of Prometheus.

    Args:
        sources: what is read.
        metrics: knows the streams.
        clock: monotonic seconds.
    """

    def __init__(
        self, sources: Sources, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = sources
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock = clock

    def begin(self) -> None:
        """Notes the event loop in which the sources live. Call it there."""
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterable[Metric]:
        """All of them. Called in another thread than the event loop's.

        Raises:
            TimeoutError: the event loop is stuck, which the failed scrape tells.
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
            _gauge(
                "event_loop_tasks",
                "asyncio tasks of the process: some for each RPC and poller, and a fixed number.",
                len(asyncio.all_tasks()),
            ),
            *self._server(),
            *self._services(),
            *self._sharing(),
            *self._pace(),
            *self._watching(),
            *self._events(),
            *self._refusals(),
            *self._spans(),
            *self._reloads(),
            self._background(),
            self._dropped_lines(),
        ]

    def _server(self) -> Iterator[Metric]:
        yield _gauges("build_info", "1; the version.", ["version"], [([version("taskgate")], 1)])
        yield _gauge("rpcs_in_flight", "Calls being served.", self._sources.in_flight.count)
        yield _gauges(
            "streams_open",
            "Calls with a stream being served.",
            ["method"],
            [([each.method], each.open) for each in self._metrics.meters if each.is_stream],
        )
        yield _counter("bugs", "Unexpected errors; each is a line `bug` in the log.", BUGS.count)

    def _services(self) -> Iterator[Metric]:
        gateways = self._sources.gateways.items()
        yield _gauges(
            "aws_ready",
            "Whether the service can be asked: there are credentials, and it does not fail.",
            ["target", "service"],
            [(name, float(each.not_ready_reason is None)) for name, each in gateways],
        )
        yield _gauges(
            "breaker_state",
            "1 for the state that the circuit breaker is in.",
            ["target", "service", "state"],
            [
                ([*name, state.value], float(each.pipeline.breaker.state is state))
                for name, each in gateways
                for state in State
            ],
        )
        yield _counters(
            "breaker_refused",
            "Calls that the circuit breaker refused.",
            ["target", "service"],
            [(name, each.pipeline.breaker.refused) for name, each in gateways],
        )
        yield _counters(
            "aws_retries",
            "Calls to AWS that were made again.",
            ["target", "service"],
            [(name, each.pipeline.retries.count) for name, each in gateways],
        )
        yield _gauges(
            "aws_retry_budget",
            "Retries that may be made now.",
            ["target", "service"],
            [(name, each.pipeline.retries.budget.left) for name, each in gateways],
        )

    def _sharing(self) -> Iterator[Metric]:
        gateways, now = self._sources.gateways.items(), self._clock()
        yield _counters(
            "reads",
            "Reads that may be shared, by what answered: see operations.md.",
            ["target", "service", "by"],
            [
                ([*name, by], count)
                for name, each in gateways
                for by, count in (
                    ("kept", each.cache.hits),
                    ("joined", each.in_flight_calls.joined),
                    ("batched", each.batched_reads.sent_in_batches),
                    ("sent", each.sent_singly + each.batched_reads.sent_singly),
                )
            ],
        )
        kept = [(name, each.cache) for name, each in gateways]
        for metric, told, values in (
            ("cache_entries", "Answers kept.", [len(cache) for _, cache in kept]),
            ("cache_bytes", "Bytes of the answers kept.", [cache.size for _, cache in kept]),
            (
                "cache_oldest_seconds",
                "Age of the oldest answer kept; 0 without any.",
                [_age(cache.oldest, now) for _, cache in kept],
            ),
        ):
            samples = [(name, float(value)) for (name, _), value in zip(kept, values, strict=True)]
            yield _gauges(metric, told, ["target", "service"], samples)
        yield _gauges(
            "batch_waiting",
            "Reads that wait to leave in a batch.",
            ["target", "service", "operation"],
            [
                ([*name, operation], count)
                for name, each in gateways
                for operation, count in each.batched_reads.waiting().items()
            ],
        )

    def _pace(self) -> Iterator[Metric]:
        limiters = [(name, each.pipeline.limiter) for name, each in self._sources.gateways.items()]
        for metric, told, read in (
            ("quota_rate", "Calls per second that may leave.", "rate"),
            ("quota_tokens", "Calls that may leave at once.", "tokens_left"),
            ("quota_waiting", "Calls that wait for their turn.", "waiting"),
        ):
            yield _gauges(
                metric,
                told,
                ["target", "service", "operation"],
                [
                    ([*name, operation], getattr(limiter, read)(operation))
                    for name, limiter in limiters
                    for operation in limiter.operations
                ],
            )

    def _watching(self) -> Iterator[Metric]:
        served = self._sources.served()
        hubs = [(each.target, each.hub) for each in served]
        logs = [(each.target, each.logs) for each in served]
        for metric, told, samples in (
            (
                "pollers",
                "What AWS is asked for on behalf of watchers.",
                [([target], len(hub)) for target, hub in hubs],
            ),
            ("watchers", "Watches and waits.", [([target], hub.watchers) for target, hub in hubs]),
            (
                "log_followers",
                "Logs that are followed.",
                [([target], len(each.followed)) for target, each in logs],
            ),
        ):
            yield _gauges(metric, told, ["target"], samples)

    def _events(self) -> Iterator[Metric]:
        queues = self._sources.queues
        counts = [([use.value], sum(each.uses[use] for each in queues)) for use in EventUse]
        yield _counters("events", "Events that came, by what they were good for.", ["use"], counts)
        yield SummaryMetricFamily(
            "taskgate_event_lag_seconds",
            "From when AWS says that it happened until it came.",
            count_value=sum(each.lag.count for each in queues),
            sum_value=sum(each.lag.seconds for each in queues),
        )

    def _refusals(self) -> Iterator[Metric]:
        guard = self._sources.guard
        denied, limited = (guard.denied, guard.limited) if guard else (0, 0)
        yield _counter("policy_denials", "What the policy denied, each item for itself.", denied)
        yield _counter("caller_limits", "Calls refused since their caller made too many.", limited)

    def _spans(self) -> Iterator[Metric]:
        traces = self._sources.traces
        exported, failed, dropped = (
            (0, 0, 0)
            if traces is None
            else (traces.exports.exported, traces.exports.failed, traces.queue.dropped)
        )
        yield _counters(
            "spans",
            "Spans of traces, by what became of them.",
            ["outcome"],
            [(["exported"], exported), (["failed"], failed), (["dropped"], dropped)],
        )

    def _reloads(self) -> Iterator[Metric]:
        files = self._sources.reloading
        yield _gauges(
            "reload_active_age_seconds",
            "How long the active version of files or keys has been active.",
            ["file"],
            [([each.name], each.active_seconds) for each in files],
        )
        yield _gauges(
            "reload_outdated",
            "1 while the active version is not the newest: that was rejected or cannot be read.",
            ["file"],
            [([each.name], float(not each.is_current)) for each in files],
        )
        yield _counters(
            "reloads",
            "Newer versions of files or keys, by what became of them.",
            ["file", "outcome"],
            [
                ([each.name, outcome], count)
                for each in files
                for outcome, count in (("accepted", each.changes), ("rejected", each.rejected))
            ],
        )

    def _background(self) -> Metric:
        return _counters(
            "background_failures",
            "Background tasks that failed and were restarted; each is a line `bug` in the log.",
            ["task"],
            [([name], count) for name, count in self._sources.supervision.failures.items()],
        )

    def _dropped_lines(self) -> Metric:
        return _counters(
            "log_lines_dropped",
            "Log lines that were not written because stderr is full, closed or fails, by kind.",
            ["kind"],
            [([kind], count) for kind, count in self._sources.dropped_lines.items()],
        )


def _age(moment: float | None, now: float) -> float:
    return 0.0 if moment is None else now - moment


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"taskgate_{name}", told, value=value)


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(f"taskgate_{name}", told, value=value)


def _gauges(name: str, told: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(f"taskgate_{name}", told, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counters(name: str, told: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = CounterMetricFamily(f"taskgate_{name}", told, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
