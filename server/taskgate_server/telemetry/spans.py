"""Which spans of traces a piece of work belongs to. `traces` makes them, where they are asked for.

Nothing of OpenTelemetry is imported here: who does not ask for traces has no part of it loaded.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

CURRENT: Final[ContextVar[Span | None]] = ContextVar("span", default=None)
"""The span of the RPC that is served; None where nobody traces, and outside of RPCs."""

# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; a
# later version may have more behind that. Ids of zeros alone are none.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)


class TraceIds(NamedTuple):
    """What a line of the log says of a trace."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits: our own span where traces are made, else the caller's."""


class TracedCall(NamedTuple):
    """A call to AWS that is in a trace."""

    context: SpanContext
    parent: int
    """The id of the RPC's span that it is a part of; 0 for none."""


def current() -> tuple[Span, ...]:
    """The span of the RPC that is served, if there is one."""
    span = CURRENT.get()
    return () if span is None else (span,)


def parse_traceparent(text: str) -> TraceIds | None:
    """What the header says; None for one that is malformed, which W3C wants ignored."""
    found = _TRACEPARENT.fullmatch(text)
    return None if found is None else TraceIds(found[1], found[2])
