"""The first stage: count, time, trace and log every call, including those that are refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from taskgate_server.calls import CallContext, Rpc
from taskgate_server.pipeline.call_log import CallLog
from taskgate_server.rpcs_in_flight import MethodCalls, RpcsInFlight
from taskgate_server.telemetry.spans import CURRENT, parse_traceparent

if TYPE_CHECKING:  # their libraries are imported only if the settings need them
    from taskgate_server.telemetry.metrics import Metrics, RpcMeter
    from taskgate_server.telemetry.traces import RpcTracer, Traces

TRACE_PARENT: Final = "traceparent"
"""Request metadata: the caller's trace, https://www.w3.org/TR/trace-context/."""


@dataclass(frozen=True, slots=True)
class _Instruments:
    """What observes the calls of one RPC."""

    in_flight: MethodCalls
    meter: RpcMeter | None
    tracer: RpcTracer | None


class Observation:
    """Observes calls from beginning to end.

    Args:
        in_flight: the calls being served.
        call_log: gets a line for each call.
        metrics: count the calls; None for no metrics.
        traces: get a span for each call; None for no traces.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        in_flight: RpcsInFlight,
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
        self._instruments: dict[str, _Instruments] = {}

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        instruments = self._instruments.get(call.rpc.method) or self._add(call.rpc)
        started = self._clock()
        instruments.in_flight.count += 1
        if instruments.meter is not None:
            instruments.meter.open += 1
        call.record.ends.append(partial(self._end, instruments, started))
        if instruments.tracer is not None:
            _trace(call, instruments.tracer)
            return call
        for key, value in call.wire.invocation_metadata() or ():
            if key == TRACE_PARENT and isinstance(value, str):
                call.record.trace = parse_traceparent(value)
        return call

    def _add(self, rpc: Rpc) -> _Instruments:
        instruments = self._instruments[rpc.method] = _Instruments(
            self._in_flight.of(rpc.method),
            self._metrics.rpc(rpc.method, is_stream=rpc.is_stream) if self._metrics else None,
            self._traces.rpc(rpc.method) if self._traces else None,
        )
        return instruments

    def _end(self, instruments: _Instruments, started: float, call: CallContext) -> None:
        instruments.in_flight.count -= 1
        seconds = self._clock() - started
        self._call_log.ended(call, seconds)
        if instruments.meter is not None:
            instruments.meter.open -= 1
            instruments.meter.ended(call.record.code, seconds)


def _trace(call: CallContext, tracer: RpcTracer) -> None:
    """Make a span for a call."""
    span = tracer.begin(call.wire.invocation_metadata() or ())
    call.record.trace = tracer.ids(span)
    before = CURRENT.set(span)

    def end(call: CallContext) -> None:
        CURRENT.reset(before)
        tracer.end(span, call.record.code, call.record.aws_span)

    call.record.ends.append(end)
