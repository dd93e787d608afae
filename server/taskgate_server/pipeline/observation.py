"""The first stage: count, time, trace and log every call, including those that are refused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from taskgate_server.calls import CallContext
from taskgate_server.pipeline.call_log import CallLog
from taskgate_server.telemetry.spans import CURRENT, TraceIds, parse_traceparent

if TYPE_CHECKING:  # their libraries are imported only if the settings need them
    from taskgate_server.telemetry.metrics import Metrics
    from taskgate_server.telemetry.traces import Traces

TRACE_PARENT: Final = "traceparent"
"""Request metadata: the caller's trace, https://www.w3.org/TR/trace-context/."""


class Observation:
    """Observes calls from beginning to end.

    Args:
        in_flight: gets the number of calls being served, by method.
        call_log: gets a line for each call.
        metrics: count the calls; None for no metrics.
        traces: get a span for each call; None for no traces.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        in_flight: Counter[str],
        call_log: CallLog,
        metrics: Metrics | None = None,
        traces: Traces | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._in_flight = in_flight
        self._call_log = call_log
        self._metrics = metrics
        self._traces = traces
        self._clock = clock

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        started = self._clock()
        self._in_flight[call.rpc.method] += 1
        if self._metrics is not None:
            self._metrics.rpc_began(call.rpc.method, is_stream=call.rpc.is_stream)
        call.record.ends.append(partial(self._end, started))
        if self._traces is not None:
            _trace(call, self._traces)
            return call
        for key, value in call.wire.invocation_metadata() or ():
            if key == TRACE_PARENT and isinstance(value, str):
                call.record.trace = parse_traceparent(value)
        return call

    def _end(self, started: float, call: CallContext) -> None:
        rpc, seconds = call.rpc, self._clock() - started
        self._in_flight[rpc.method] -= 1
        self._call_log.ended(call, seconds)
        if self._metrics is not None:
            code = call.record.code
            self._metrics.rpc_ended(rpc.method, code, seconds, is_stream=rpc.is_stream)


def _trace(call: CallContext, traces: Traces) -> None:
    span = traces.begin_rpc(call.rpc.method, call.wire.invocation_metadata() or ())
    call.record.trace = TraceIds.of(span)
    before = CURRENT.set(span)

    def end(call: CallContext) -> None:
        CURRENT.reset(before)
        traces.end_rpc(span, call.record.code, call.record.aws_span)

    call.record.ends.append(end)
