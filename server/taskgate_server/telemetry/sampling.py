"""The sampler for calls whose callers have sampled their own traces.

An unauthenticated caller can set the sampled flag of `traceparent` on every call, and each such
call would cost spans here and at the collector. It chooses the trace id as well, so that the
decision must not depend on that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from taskgate_server.token_bucket import TokenBucket

CALLER_TRACES_PER_SECOND: Final = 10.0
"""The rate, and the largest burst, of calls for which the caller's decision is followed."""


class CallerDecisions(Sampler):
    """Follows the decision of callers up to a rate; further calls are sampled at random.

    Args:
        ratio: the fraction of further calls that are sampled.
        clock: monotonic seconds.
        random_number: returns 0 to 1.
    """

    def __init__(
        self,
        ratio: float,
        clock: Callable[[], float] = time.monotonic,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._ratio = ratio
        self._random_number = random_number
        self._permits = TokenBucket(CALLER_TRACES_PER_SECOND, clock)

    def should_sample(  # noqa: PLR0913, PLR0917  # OpenTelemetry's signature
        self,
        parent_context: Context | None,
        trace_id: int,  # noqa: ARG002  # the caller chooses it
        name: str,  # noqa: ARG002  # OpenTelemetry's signature
        kind: SpanKind | None = None,  # noqa: ARG002  # OpenTelemetry's signature
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002  # OpenTelemetry's signature
        trace_state: TraceState | None = None,  # noqa: ARG002  # the parent's is used
    ) -> SamplingResult:
        """Return whether to record the span of a call."""
        state = get_current_span(parent_context).get_span_context().trace_state
        if not self._permits.take() or self._random_number() < self._ratio:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)
        return SamplingResult(Decision.DROP, None, state)

    def get_description(self) -> str:
        """Return the name of the sampler with its settings."""
        return f"CallerDecisions{{{CALLER_TRACES_PER_SECOND:g}/s,{self._ratio:g}}}"
