"""An OpenTelemetry collector that receives traces by OTLP over HTTP."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass
class Collector:
    """The spans that were received."""

    spans: list[trace_pb2.Span] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    """The HTTP status to respond with."""
    endpoint: str = ""

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def wait_for(self, enough: Callable[[list[trace_pb2.Span]], bool]) -> list[trace_pb2.Span]:
        """Return the spans once there are enough; they arrive in batches."""
        give_up_at = time.monotonic() + 20
        while not enough(self.spans) and time.monotonic() < give_up_at:
            time.sleep(0.02)
        assert enough(self.spans), [span.name for span in self.spans]
        return list(self.spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.status == 200:
                headers = {name.lower(): value for name, value in self.headers.items()}
                collector.take(body, headers)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    collector.endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
