"""Metrics that are counted at each event; `metrics_collector` has those that are read at scrapes.

Labels are looked up once: each method and operation stores its counters. The sets of labels are
bounded, because methods and operations come from the contract and codes from gRPC.
"""

from __future__ import annotations

from typing import Final

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector

UNKNOWN_METHOD: Final = "unknown"
"""The label of all methods that the contract lacks."""

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""From a cached response to the longest wait for AWS."""

ITEMS: Final = (1, 2, 5, 10, 20, 50, 100)
"""AWS accepts 100 at most."""


class Metrics:
    """The metrics of a server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.rpcs = Counter(
            "taskgate_rpcs", "RPCs that have ended.", ["method", "code"], registry=self.registry
        )
        self.rpc_seconds = Histogram(
            "taskgate_rpc_duration_seconds",
            "Duration of RPCs without a stream.",
            ["method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.aws_calls = Counter(
            "taskgate_aws_calls",
            "Attempts of calls to AWS, by the gRPC code of the response.",
            ["target", "service", "operation", "code"],
            registry=self.registry,
        )
        self.aws_seconds = Histogram(
            "taskgate_aws_call_duration_seconds",
            "Duration of calls to AWS, including the wait for a thread.",
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
        """The meters of all methods."""

    def count_unknown_method(self) -> None:
        """Count a call of a method that does not exist."""
        self._unknown.inc()

    def rpc(self, method: str, *, is_stream: bool) -> RpcMeter:
        """Return the meter of a method."""
        meter = RpcMeter(self, method, is_stream=is_stream)
        self.meters.append(meter)
        return meter

    def aws(self, target: str, service: str) -> AwsMeter:
        """Return the meter of an AWS service of a target."""
        return AwsMeter(self, target, service)


class RpcMeter:
    """Counts the calls of a method; a method has no metrics before its first call."""

    __slots__ = ("_by_code", "_metrics", "_seconds", "is_stream", "method", "open")

    def __init__(self, metrics: Metrics, method: str, *, is_stream: bool) -> None:
        self.method = method
        self.is_stream = is_stream
        self.open = 0
        """Calls being served."""
        self._metrics = metrics
        self._by_code: dict[StatusCode, Counter] = {}
        self._seconds: Histogram | None = None

    def ended(self, code: StatusCode, seconds: float) -> None:
        """Count a call that took so many seconds."""
        count = self._by_code.get(code)
        if count is None:
            count = self._metrics.rpcs.labels(self.method, code.name)
            self._by_code[code] = count
        count.inc()
        if self.is_stream:
            return  # its caller decides how long it takes
        if self._seconds is None:
            self._seconds = self._metrics.rpc_seconds.labels(self.method)
        self._seconds.observe(seconds)


class AwsMeter:
    """Counts the calls to an AWS service of a target."""

    def __init__(self, metrics: Metrics, target: str, service: str) -> None:
        self._metrics = metrics
        self._labels = (target, service)
        self._counts: dict[tuple[str, StatusCode], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def ended(self, operation: str, code: StatusCode, seconds: float) -> None:
        """Count an attempt that took so many seconds."""
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
        """Count a call that AWS throttled."""
        self._metrics.throttles.labels(*self._labels, operation).inc()

    def odd_values(self, operation: str, count: int) -> None:
        """Count values of a response that do not fit AWS's model."""
        self._metrics.odd_values.labels(*self._labels, operation).inc(count)

    def batch(self, operation: str, items: int) -> None:
        """Record the number of items in a call of a batch operation."""
        self._metrics.batch_items.labels(*self._labels, operation).observe(items)
