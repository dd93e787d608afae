"""The first stage: count, time, trace and log every call, including those that are refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from taskgate_server.calls import Call, MethodCalls, Rpc, RpcsInFlight
from taskgate_server.pipeline.call_log import CallLog
from taskgate_server.pipeline.stage import Enter
from taskgate_server.telemetry.spans import CURRENT, parse_traceparent

if TYPE_CHECKING:  # their libraries are imported only if the settings ask for them
    from taskgate_server.telemetry.metrics import Metrics, RpcMeter
    from taskgate_server.telemetry.traces import RpcTracer, Traces

TRACE_PARENT: Final = "traceparent"
"""Request metadata: the caller's trace, https://www.w3.org/TR/trace-context/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Observes calls from their first to their last moment.

    Args:
        in_flight: the calls being served.
        call_log: gets a line for each call.
        metrics: count the calls; None if there are none.
        traces: get a span for each call; None if there are none.
        clock: monotonic seconds.
    """

    in_flight: RpcsInFlight
    call_log: CallLog
    metrics: Metrics | None = None
    traces: Traces | None = None
    clock: Callable[[], float] = time.monotonic

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`. Health checks are not observed: probes would be most of the log."""
        if rpc.is_public:
            return None
        is_stream = rpc.client_streams or rpc.server_streams
        observed = _Observed(
            in_flight=self.in_flight.of(rpc.method),
            call_log=self.call_log,
            clock=self.clock,
            meter=self.metrics.rpc(rpc.method, is_stream=is_stream) if self.metrics else None,
            tracer=self.traces.rpc(rpc.method) if self.traces else None,
        )
        return observed.enter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observed:
    """The observation of one RPC."""

    in_flight: MethodCalls
    call_log: CallLog
    clock: Callable[[], float]
    meter: RpcMeter | None
    tracer: RpcTracer | None

    async def enter(self, call: Call) -> None:
        started = self.clock()
        self.in_flight.count += 1
        if self.meter is not None:
            self.meter.open += 1
        call.ends.append(partial(self._end, call, started))
        metadata = call.wire.invocation_metadata() if call.wire is not None else None
        if self.tracer is None:
            for key, value in metadata or ():
                if key == TRACE_PARENT and isinstance(value, str):
                    call.trace = parse_traceparent(value)
            return
        span = self.tracer.begin(metadata or ())
        call.trace = self.tracer.ids(span)
        before = CURRENT.set(span)
        tracer = self.tracer

        def end_span() -> None:
            CURRENT.reset(before)
            tracer.end(span, call.code, call.aws_span)

        call.ends.append(end_span)

    def _end(self, call: Call, started: float) -> None:
        self.in_flight.count -= 1
        seconds = self.clock() - started
        self.call_log.ended(call, seconds)
        if self.meter is not None:
            self.meter.open -= 1
            self.meter.ended(call.code, seconds)
