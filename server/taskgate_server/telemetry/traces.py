"""OpenTelemetry traces, exported over OTLP: a span for each RPC and for each call to AWS.

Names and attributes follow OpenTelemetry's conventions for RPCs and AWS SDKs
(https://opentelemetry.io/docs/specs/semconv/rpc/). Spans have no values of requests or responses,
and no error texts. A call to AWS for which several RPCs wait is in the trace of the first one, with
links to the others; an RPC that shares the response of another RPC's call has a link to that call.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
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
from taskgate_server.telemetry.spans import TracedCall

if TYPE_CHECKING:
    import grpc

MAX_WAITING: Final = 4096
"""The limit of spans that wait to be exported; further ones are dropped and counted."""

EXPORT_SECONDS: Final = 5.0
"""The time limit of a message to the collector, and of the export at the end."""

MAX_LINKS: Final = 128
"""OpenTelemetry's default limit: https://opentelemetry.io/docs/specs/otel/trace/sdk/#span-limits"""

_PROPAGATOR: Final = TraceContextTextMapPropagator()

SERVER_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes that make a server's span an error, by OpenTelemetry's conventions for gRPC."""


class Traces:
    """Makes and exports spans.

    Args:
        endpoint: the collector's URL, such as `http://collector:4318/v1/traces`.
        headers: headers for the collector, which may be secrets.
        ratio: the fraction of the traces started here that are sampled. Callers decide for their
            own traces, see `sampling`.
        exporter: exports spans; by default over OTLP in protobuf.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        ratio: float,
        exporter: SpanExporter | None = None,
    ) -> None:
        # OpenTelemetry logs each failure with a traceback; `_CountingExporter` logs a line instead.
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        exporter = exporter or OTLPSpanExporter(
            endpoint=endpoint, headers=dict(headers), timeout=EXPORT_SECONDS
        )
        self.exports = _CountingExporter(exporter)
        self.queue = _BoundedProcessor(self.exports)
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

    def begin_rpc(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """Start the span of a call, in the trace of the caller's metadata."""
        carrier = {
            key: value
            for key, value in metadata
            if key in _PROPAGATOR.fields and isinstance(value, str)
        }
        service, _, name = method.rpartition("/")
        return self._tracer.start_span(
            method,
            context=_PROPAGATOR.extract(carrier) if carrier else None,
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )

    @staticmethod
    def end_rpc(span: Span, code: grpc.StatusCode, source: TracedCall | None) -> None:
        """End the span of a call; `source` is the call to AWS that it received the response of."""
        if span.is_recording():
            number: int = code.value[0]
            span.set_attribute("rpc.grpc.status_code", number)
            if source is not None and source.parent != span.get_span_context().span_id:
                span.add_link(source.context)
            if code.name in SERVER_FAULTS:
                span.set_attribute("error.type", code.name)
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def aws(self, target: str, service: str) -> AwsTracer:
        """Return what makes the spans of calls to an AWS service of a target."""
        return AwsTracer(self._tracer, target, service)

    def close(self) -> None:
        """Export the waiting spans, for at most `EXPORT_SECONDS`. Blocks."""
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))
        self._provider.shutdown()


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
        """Start the span of an attempt of a call.

        The causes are the spans of the RPCs that wait for it; those that have ended are ignored.
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
        """End the span of an attempt; return the link for RPCs with its response, if sampled."""
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
    """Return the headers in a file with one `name: value` per line.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is not a header; the message has its number, but not its text.
    """
    headers = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        name, colon, value = line.partition(":")
        if line.strip() and not (colon and name.strip()):
            raise ValueError(f"line {number} is not a header: write `name: value`")
        if line.strip():
            headers[name.strip()] = value.strip()
    return headers


class _CountingExporter(SpanExporter):
    """Counts exported and failed spans, and logs when the collector fails and recovers."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exported = 0
        """Spans that the collector has accepted."""
        self.failed = 0
        """Spans that it has not accepted."""
        self._exporter = exporter
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001  # a failure of the collector must not affect the server
            result = SpanExportResult.FAILURE
        fails = result is not SpanExportResult.SUCCESS
        if fails:
            self.failed += len(spans)
        else:
            self.exported += len(spans)
        if fails != self._fails:
            self._fails = fails
            LOG.warning("traces cannot be exported" if fails else "traces are exported again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _BoundedProcessor(BatchSpanProcessor):
    """Queues a bounded number of spans, and counts those that it drops."""

    def __init__(self, exports: _CountingExporter) -> None:
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
