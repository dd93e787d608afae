"""Metrics that are counted when something happens; `readings` has those that are read when asked.

Labels are looked up once: each method and operation keeps what counts for it. The sets of labels
are bounded, since methods and operations come from the contract and codes from gRPC.
"""

from __future__ import annotations

from typing import Final

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector

UNKNOWN_METHOD: Final = "unknown"
"""The label of all methods that the contract has not."""

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""From a kept answer to the longest that AWS is waited for."""

ITEMS: Final = (1, 2, 5, 10, 20, 50, 100)
"""AWS takes 100 at most."""


class Metrics:
    """All metrics of a server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.rpcs = Counter(
            "taskgate_rpcs", "RPCs that have ended.", ["method", "code"], registry=self.registry
        )
        self.rpc_seconds = Histogram(
            "taskgate_rpc_duration_seconds",
            "How long RPCs without a stream took.",
            ["method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.aws_calls = Counter(
            "taskgate_aws_calls",
            "Calls to AWS, each try, by the gRPC code that stands for the answer.",
            ["target", "service", "operation", "code"],
            registry=self.registry,
        )
        self.aws_seconds = Histogram(
            "taskgate_aws_call_duration_seconds",
            "How long calls to AWS took, with the wait for a thread.",
            ["target", "service", "operation"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.throttles = Counter(
            "taskgate_aws_throttles",
            "Calls that AWS throttled.",
            ["target", "service", "operation"],
            registry=self.registry,
        )
        self.odd_values = Counter(
            "taskgate_aws_odd_values",
            "Values in AWS's responses that do not fit its model.",
            ["target", "service", "operation"],
            registry=self.registry,
        )
        self.batch_items = Histogram(
            "taskgate_aws_batch_items",
            "Reads or writes in one call of a batch operation.",
            ["target", "service", "operation"],
            buckets=ITEMS,
            registry=self.registry,
        )
        self._unknown = self.rpcs.labels(UNKNOWN_METHOD, StatusCode.UNIMPLEMENTED.name)
        self.meters: list[RpcMeter] = []
        """Of all methods."""

    def unknown_called(self) -> None:
        """Somebody called a method that is not here."""
        self._unknown.inc()

    def rpc(self, method: str, *, is_stream: bool) -> RpcMeter:
        """What counts the calls of a method."""
        meter = RpcMeter(self, method, is_stream=is_stream)
        self.meters.append(meter)
        return meter

    def aws(self, target: str, service: str) -> AwsMeter:
        """What counts the calls to a target's AWS service."""
        return AwsMeter(self, target, service)


class RpcMeter:
    """Counts the calls of one method; those that nobody calls have no metrics."""

    __slots__ = ("_by_code", "_metrics", "_seconds", "is_stream", "method", "open")

    def __init__(self, metrics: Metrics, method: str, *, is_stream: bool) -> None:
        self.method = method
        self.is_stream = is_stream
        self.open = 0
        """Calls under way."""
        self._metrics = metrics
        self._by_code: dict[StatusCode, Counter] = {}
        self._seconds: Histogram | None = None

    def ended(self, code: StatusCode, seconds: float) -> None:
        """A call has ended; it took so long."""
        count = self._by_code.get(code)
        if count is None:
            count = self._metrics.rpcs.labels(self.method, code.name)
            self._by_code[code] = count
        count.inc()
        if self.is_stream:
            return  # it takes as long as its caller likes
        if self._seconds is None:
            self._seconds = self._metrics.rpc_seconds.labels(self.method)
        self._seconds.observe(seconds)


class AwsMeter:
    """Counts the calls to one AWS service of one target."""

    def __init__(self, metrics: Metrics, target: str, service: str) -> None:
        self._metrics = metrics
        self._labels = (target, service)
        self._counts: dict[tuple[str, StatusCode], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def ended(self, operation: str, code: StatusCode, seconds: float) -> None:
        """A call has ended; it took so long."""
        count = self._counts.get((operation, code))
        if count is None:
            count = self._metrics.aws_calls.labels(*self._labels, operation, code.name)
            self._counts[operation, code] = count
        count.inc()
        histogram = self._seconds.get(operation)
        if histogram is None:
            histogram = self._metrics.aws_seconds.labels(*self._labels, operation)
            self._seconds[operation] = histogram
        histogram.observe(seconds)

    def throttled(self, operation: str) -> None:
        """AWS throttled a call."""
        self._metrics.throttles.labels(*self._labels, operation).inc()

    def odd_values(self, operation: str, count: int) -> None:
        """A response had so many values that do not fit AWS's model."""
        self._metrics.odd_values.labels(*self._labels, operation).inc(count)

    def batch(self, operation: str, items: int) -> None:
        """A call of a batch operation leaves with so many items."""
        self._metrics.batch_items.labels(*self._labels, operation).observe(items)
