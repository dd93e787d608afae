"""Traces by OpenTelemetry, sent over OTLP: one span for each RPC, one for each call to AWS.

Names and attributes are OpenTelemetry's conventions for RPCs and AWS SDKs
(https://opentelemetry.io/docs/specs/semconv/rpc/). No value of a request, an answer or an error's
text is in them. A call to AWS that several RPCs wait for is a part of the first one's trace, with
links to the others; an RPC whose answer somebody else's call has brought has a link to that call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from taskgate_server.telemetry.logs import LOG
from taskgate_server.telemetry.sampling import CallerDecisions
from taskgate_server.telemetry.spans import TracedCall, TraceIds

if TYPE_CHECKING:
    import grpc

MAX_WAITING: Final = 4096
"""Spans that wait to be sent; what comes then is dropped, and counted."""

EXPORT_SECONDS: Final = 5.0
"""How long one message to the collector may take, and all that is left in the end."""

MAX_LINKS: Final = 128
"""OpenTelemetry's default limit: https://opentelemetry.io/docs/specs/otel/trace/sdk/#span-limits"""

_PROPAGATOR: Final = TraceContextTextMapPropagator()

SERVER_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes that make a server's span an error, by the conventions for gRPC."""


class Traces:
    """Makes spans and sends them on.

    Args:
        endpoint: of the collector, such as `http://collector:4318/v1/traces`.
        headers: for the collector; they may be secrets.
        ratio: of the traces that begin here, those that are sampled. A caller with a trace of its
            own has decided that already, see `sampling`.
        exporter: sends spans; by default over OTLP in protobuf.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        ratio: float,
        exporter: SpanExporter | None = None,
    ) -> None:
        # It logs each failure, with a traceback; `_Watched` tells of the first, in a line.
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        sending = exporter or OTLPSpanExporter(
            endpoint=endpoint, headers=dict(headers), timeout=EXPORT_SECONDS
        )
        self.exports = _Watched(sending)
        self.queue = _Bounded(self.exports)
        resource = {"service.name": "taskgate", "service.version": version("taskgate")}
        self._provider = TracerProvider(
            resource=Resource.create(resource),
            sampler=ParentBased(
                TraceIdRatioBased(ratio), remote_parent_sampled=CallerDecisions(ratio)
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self.queue)
        self._tracer = self._provider.get_tracer("taskgate", resource["service.version"])

    def rpc(self, method: str) -> RpcTracer:
        """What makes the spans of an RPC."""
        return RpcTracer(self._tracer, method)

    def aws(self, target: str, service: str) -> AwsTracer:
        """What makes the spans of calls to an AWS service of a target."""
        return AwsTracer(self._tracer, target, service)

    def close(self) -> None:
        """Sends what waits, for at most `EXPORT_SECONDS`. Blocks."""
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))
        self._provider.shutdown()


class RpcTracer:
    """Makes the spans of one RPC."""

    def __init__(self, tracer: Tracer, method: str) -> None:
        self._tracer = tracer
        self._name = method
        service, _, name = method.rpartition("/")
        self._attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

    def begin(self, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """The span of a call, in the trace that the caller's metadata name."""
        carrier = {
            key: value
            for key, value in metadata
            if key in _PROPAGATOR.fields and isinstance(value, str)
        }
        return self._tracer.start_span(
            self._name,
            context=_PROPAGATOR.extract(carrier) if carrier else None,
            kind=SpanKind.SERVER,
            attributes=self._attributes,
        )

    def ids(self, span: Span) -> TraceIds:
        """What the log says of a span."""
        context = span.get_span_context()
        return TraceIds(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    def end(self, span: Span, code: grpc.StatusCode, source: TracedCall | None) -> None:
        """A call has ended; `source` is the call to AWS that brought its answer."""
        if span.is_recording():
            number: int = code.value[0]
            span.set_attribute("rpc.grpc.status_code", number)
            if source is not None and source.parent != span.get_span_context().span_id:
                span.add_link(source.context)
            if code.name in SERVER_FAULTS:
                span.set_attribute("error.type", code.name)
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class AwsTracer:
    """Makes the spans of calls to one AWS service of one target."""

    def __init__(self, tracer: Tracer, target: str, service: str) -> None:
        self._tracer = tracer
        self._service = service
        self._attributes = {
            "rpc.system": "aws-api",
            "rpc.service": service,
            "taskgate.target": target,
        }

    def begin(self, operation: str, causes: Sequence[Span], *, region: str) -> Span:
        """The span of one try of a call.

        Args:
            operation: such as `GetTask`.
            causes: the spans of the RPCs that wait for it; those that have ended do not count.
            region: AWS's name of it.
        """
        waiting = [span for span in causes if span.is_recording()][: MAX_LINKS + 1]
        return self._tracer.start_span(
            f"{self._service}/{operation}",
            context=set_span_in_context(waiting[0]) if waiting else None,
            kind=SpanKind.CLIENT,
            attributes={**self._attributes, "rpc.method": operation, "cloud.region": region},
            links=[Link(span.get_span_context()) for span in waiting[1:]],
        )

    def end(self, span: Span, request_id: str, error_reason: str = "") -> TracedCall | None:
        """A try has ended. Gives what RPCs with its answer have a link to, if it is sampled."""
        if not isinstance(span, ReadableSpan) or not span.is_recording():
            span.end()
            return None
        if request_id:
            span.set_attribute("aws.request_id", request_id)
        if error_reason:
            span.set_attribute("error.type", error_reason)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        return TracedCall(span.get_span_context(), span.parent.span_id if span.parent else 0)


def read_headers(file: Path) -> dict[str, str]:
    """Headers in a file, one `name: value` in a line.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is none; the message has its number, not its text.
    """
    headers = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        name, colon, value = line.partition(":")
        if line.strip() and not (colon and name.strip()):
            raise ValueError(f"line {number} is no header: write `name: value`")
        if line.strip():
            headers[name.strip()] = value.strip()
    return headers


class _Watched(SpanExporter):
    """Counts what becomes of spans, and tells in the log when the collector goes and comes."""

    def __init__(self, exporter: SpanExporter, tell: Callable[..., None] = LOG.warning) -> None:
        self.exported = 0
        """Spans so far that the collector has taken."""
        self.failed = 0
        """Those that it has not."""
        self._exporter = exporter
        self._tell = tell
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001  # no failure of the collector's is anybody else's
            result = SpanExportResult.FAILURE
        fails = result is not SpanExportResult.SUCCESS
        if fails:
            self.failed += len(spans)
        else:
            self.exported += len(spans)
        if fails != self._fails:
            self._fails = fails
            self._tell("traces are not taken" if fails else "traces are taken again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Bounded(BatchSpanProcessor):
    """Keeps a bounded number of spans, and counts those that had no room."""

    def __init__(self, exports: _Watched) -> None:
        super().__init__(exports, max_queue_size=MAX_WAITING)
        self.dropped = 0
        self._taken = 0
        self._exports = exports

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._taken - self._exports.exported - self._exports.failed >= MAX_WAITING:
            self.dropped += 1
            return
        self._taken += 1
        super().on_end(span)
