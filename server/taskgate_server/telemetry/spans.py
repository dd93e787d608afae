"""The current span and ids of traces; `traces` makes the spans.

OpenTelemetry is not imported here: servers without traces do not load it.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

CURRENT: Final[ContextVar[Span | None]] = ContextVar("span", default=None)
"""The span of the RPC being served; None without traces, and outside of RPCs."""

# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags;
# later versions may append more. Ids of zeros are invalid.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)


class TraceIds(NamedTuple):
    """The ids of a trace in log lines."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits: this server's span if it makes traces, otherwise the caller's."""

    @classmethod
    def of(cls, span: Span) -> TraceIds:
        """Return the ids of a span."""
        context = span.get_span_context()
        return cls(f"{context.trace_id:032x}", f"{context.span_id:016x}")


class TracedCall(NamedTuple):
    """A call to AWS in a sampled trace."""

    context: SpanContext
    parent: int
    """The id of the RPC's span that is its parent; 0 for none."""


def current() -> tuple[Span, ...]:
    """Return the span of the RPC being served, if there is one."""
    span = CURRENT.get()
    return () if span is None else (span,)


def parse_traceparent(text: str) -> TraceIds | None:
    """Return the ids in a `traceparent` header; None for a malformed one, which is ignored."""
    found = _TRACEPARENT.fullmatch(text)
    return None if found is None else TraceIds(found[1], found[2])
