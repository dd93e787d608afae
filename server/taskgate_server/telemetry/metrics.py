"""Metrics that are counted at each event; `metrics_collector` has those that are read at scrapes.

Labels are looked up once: prometheus_client takes a lock for it. The sets of labels are bounded,
because methods and operations come from the contract and codes from gRPC.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from grpc import StatusCode
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
)

UNKNOWN_METHOD: Final = "unknown"
"""The label of all methods that the contract lacks."""

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""From a cached response to the longest wait for AWS."""

ITEMS: Final = (1, 2, 5, 10, 20, 50, 100)
"""AWS accepts 100 at most."""

OPERATION: Final = ("target", "service", "operation")
"""The labels of metrics about AWS."""


class Metrics:
    """The metrics of a server, in a registry of its own.

    A method has no metrics before its first call.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        rpcs = Counter(
            "taskgate_rpcs", "RPCs that have ended.", ["method", "code"], registry=registry
        )
        rpc_seconds = Histogram(
            "taskgate_rpc_duration_seconds",
            "Duration of RPCs without a stream.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        streams = Gauge(
            "taskgate_streams_open", "Streaming calls being served.", ["method"], registry=registry
        )
        self.aws_calls = Counter(
            "taskgate_aws_calls",
            "Attempts of calls to AWS, by the gRPC code of the response.",
            [*OPERATION, "code"],
            registry=registry,
        )
        self.aws_seconds = Histogram(
            "taskgate_aws_call_duration_seconds",
            "Duration of calls to AWS.",
            OPERATION,
            buckets=SECONDS,
            registry=registry,
        )
        self.throttles = Counter(
            "taskgate_aws_throttles", "Calls that AWS throttled.", OPERATION, registry=registry
        )
        self.odd_values = Counter(
            "taskgate_aws_odd_values",
            "Values in AWS's responses that do not fit its model.",
            OPERATION,
            registry=registry,
        )
        self.batch_items = Histogram(
            "taskgate_aws_batch_items",
            "Reads or writes in one call of a batch operation.",
            OPERATION,
            buckets=ITEMS,
            registry=registry,
        )
        self._rpcs = cache(rpcs.labels)
        self._rpc_seconds = cache(rpc_seconds.labels)
        self._streams = cache(streams.labels)
        self._rpcs(UNKNOWN_METHOD, StatusCode.UNIMPLEMENTED.name)  # it is there before such a call

    def count_unknown_method(self) -> None:
        """Count a call of a method that does not exist."""
        self._rpcs(UNKNOWN_METHOD, StatusCode.UNIMPLEMENTED.name).inc()

    def rpc_began(self, method: str, *, is_stream: bool) -> None:
        """Count a call that is being served."""
        if is_stream:
            self._streams(method).inc()

    def rpc_ended(self, method: str, code: StatusCode, seconds: float, *, is_stream: bool) -> None:
        """Count a call that took so many seconds."""
        self._rpcs(method, code.name).inc()
        if is_stream:  # its caller decides how long it takes
            self._streams(method).dec()
        else:
            self._rpc_seconds(method).observe(seconds)

    def aws(self, target: str, service: str) -> AwsMeter:
        """Return the meter of an AWS service of a target."""
        return AwsMeter(self, target, service)


class AwsMeter:
    """Counts the calls to an AWS service of a target."""

    def __init__(self, metrics: Metrics, target: str, service: str) -> None:
        self._metrics = metrics
        self._labels = (target, service)
        self._calls = cache(metrics.aws_calls.labels)
        self._seconds = cache(metrics.aws_seconds.labels)

    def ended(self, operation: str, code: StatusCode, seconds: float) -> None:
        """Count an attempt that took so many seconds."""
        self._calls(*self._labels, operation, code.name).inc()
        self._seconds(*self._labels, operation).observe(seconds)

    def throttled(self, operation: str) -> None:
        """Count a call that AWS throttled."""
        self._metrics.throttles.labels(*self._labels, operation).inc()

    def odd_values(self, operation: str, count: int) -> None:
        """Count values of a response that do not fit AWS's model."""
        self._metrics.odd_values.labels(*self._labels, operation).inc(count)

    def batch(self, operation: str, items: int) -> None:
        """Record the number of items in a call of a batch operation."""
        self._metrics.batch_items.labels(*self._labels, operation).observe(items)
