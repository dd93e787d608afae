"""The circuit breaker of one AWS service in one region: sends no calls into an outage.

CLOSED      calls are sent; it opens when too many fail
OPEN        calls are refused for a while
HALF_OPEN   a few calls are sent as probes: a success closes it, a failure opens it for longer

Failures of one subject, which is an operation with its parameters, are not an outage. It opens when
several subjects fail, or when nothing has succeeded for a while. While it is open, calls of a
subject without a known failure are sent as trials.
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from taskgate_server import errors
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.rate_limit.policy import LatencyEstimator

FIRST_OUTAGE_STATUS: Final = 500
MAX_SUBJECTS: Final = 1000
"""Bounds the failing subjects that are known; the oldest is forgotten first."""
PROMPT_SECONDS: Final = 1.0
"""A response within this time shows that the service works normally. Later ones may belong to an
outage that is over."""


class State(enum.Enum):
    """The state of a circuit breaker; values are labels of metrics."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When the breaker opens, and for how long."""

    consecutive_failures: int = 10
    """It opens after so many failures in a row ..."""
    failure_share: float = 0.5
    """... or when this fraction of the calls fails ..."""
    min_failures: float = 10.0
    """... and at least so many of them ..."""
    window_seconds: float = 10.0
    """... within about this time."""
    min_subjects: int = 3
    """In both cases so many subjects must fail, or nothing succeed for `window_seconds`."""
    first_open_seconds: float = 0.2
    max_open_seconds: float = 1.0
    """It stays open for this time, doubling from first to maximum. One probe per second does not
    burden AWS, and calls succeed again within a second after an outage."""
    max_probes: int = 1
    """Probes in flight."""
    probe_seconds: float = 1.0
    """After this time without a response, a probe no longer prevents other probes. Its response
    still counts as a success."""
    max_trials: int = 4
    """Trials in flight."""
    trial_seconds: float = 8.0
    """The same as `probe_seconds`, for trials."""
    abandoned_seconds: float = 1.0
    """A call that its callers gave up counts as a failure if it was sent so long ago; a shorter one
    says more about their deadlines than about AWS."""
    stuck_seconds: float = 3.0
    """A read without a response counts as a failure after this time, or after twice the estimated
    latency if that is longer."""


def is_outage(error: errors.TaskgateError) -> bool:
    """Return whether an error shows that AWS is unreachable or broken for all callers.

    Throttles, refused credentials and invalid requests are responses: AWS works.
    """
    if error.domain == errors.TASKGATE_DOMAIN:
        return isinstance(error, errors.UnreachableError)
    if error.retry is errors.Retry.THROTTLE:  # some services throttle with 503
        return False
    status = error.metadata.get("http_status", "")
    return status.isdecimal() and int(status) >= FIRST_OUTAGE_STATUS


@dataclass(slots=True)
class Outcomes:
    """The latest outcomes of calls, in any state; evidence for `availability`."""

    failures: int = 0
    """Failures since the last response."""
    responded_at: float = -math.inf
    """When the last response arrived, including errors about the call; in monotonic seconds."""
    prompt_at: float = -math.inf
    """When the last prompt response arrived."""


class FailureCounts:
    """Decaying counts of calls, and the subjects that fail.

    Args:
        window_seconds: about how long a call counts.
        succeeded_at: when a call last succeeded, in monotonic seconds.
    """

    def __init__(self, window_seconds: float, succeeded_at: float = -math.inf) -> None:
        self.consecutive = 0
        """Failures since the last success."""
        self.calls = 0.0
        self.failed = 0.0
        self.succeeded_at = succeeded_at
        self._window = window_seconds
        self._updated_at = -math.inf
        self._failing: OrderedDict[Hashable, float] = OrderedDict()

    def failing_subjects(self, now: float) -> int:
        """Return how many subjects failed at their last call within the window."""
        while self._failing and now - next(iter(self._failing.values())) >= self._window:
            self._failing.popitem(last=False)
        return len(self._failing)

    def is_failing(self, subject: Hashable, now: float) -> bool:
        """Return whether a subject failed at its last call within the window."""
        return now - self._failing.get(subject, -math.inf) < self._window

    def set_failing(self, subject: Hashable, now: float, *, failed: bool) -> None:
        """Record whether the last call of a subject failed."""
        self._failing.pop(subject, None)
        if failed:
            self._failing[subject] = now
            if len(self._failing) > MAX_SUBJECTS:
                self._failing.popitem(last=False)

    def count(self, now: float, *, failed: bool) -> None:
        """Count a call."""
        decay = math.exp((self._updated_at - now) / self._window)
        self._updated_at = now
        self.calls = self.calls * decay + 1
        self.failed = self.failed * decay + failed
        self.consecutive = self.consecutive + 1 if failed else 0
        if not failed:
            self.succeeded_at = now


@dataclass(slots=True, eq=False)
class TrackedCall:
    """A call that the breaker let through."""

    operation: str
    params: Mapping[str, Any] | None
    state_changes: int
    """How often the state had changed at its start."""
    is_read: bool = True
    is_probe: bool = False
    is_trial: bool = False
    expires_at: float = math.inf
    """When it no longer prevents other probes or trials."""
    sent_at: float | None = None
    is_stuck: bool = False
    """Whether it was counted as a failure because it takes too long."""

    @property
    def subject(self) -> Hashable:
        """Identifies operation and parameters; the call itself if the parameters are unknown."""
        return self if self.params is None else hash((self.operation, repr(self.params)))


class CircuitBreaker:
    """Lets calls to one AWS service pass, or refuses them; for one event loop.

    Args:
        spec: the service.
        thresholds: when it opens.
        clock: monotonic seconds.
        random: for jitter.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        thresholds: Thresholds | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.refused = 0
        """Calls refused so far, for metrics."""
        self.outcomes = Outcomes()
        self.state = State.CLOSED
        self._spec = spec
        self._thresholds = thresholds or Thresholds()
        self._clock = clock
        self._random = random or Random()  # noqa: S311  # jitter is no secret
        self._changes = 0
        self._changed = asyncio.Event()
        self._counts = FailureCounts(self._thresholds.window_seconds)
        self._openings = 0
        """Openings since it was last closed."""
        self._open_until = -math.inf
        self._probing: set[TrackedCall] = set()
        """Probes and trials in flight."""
        self._reads: OrderedDict[TrackedCall, float] = OrderedDict()
        """Reads in flight that are not stuck -> when they were sent, the oldest first."""
        self._latency = LatencyEstimator()

    @property
    def oldest_read_sent_at(self) -> float:
        """When the oldest read in flight was sent; inf without one."""
        return next(iter(self._reads.values()), math.inf)

    async def wait_for_change(self, known_changes: int) -> int:
        """Wait until the state has changed more than `known_changes` times; return how often."""
        while self._changes <= known_changes:
            await self._changed.wait()
        return self._changes

    def check(self, operation: str, params: Mapping[str, Any] | None = None) -> None:
        """Raise the error of `track` if it would refuse the call now.

        Raises:
            errors.TaskgateError: UNAVAILABLE, reason UPSTREAM_CIRCUIT_OPEN.
        """
        self._count_stuck_reads()
        self._check_admission(TrackedCall(operation, params, self._changes))

    @contextmanager
    def track(
        self,
        operation: str,
        params: Mapping[str, Any] | None = None,
        *,
        is_read: bool = True,
        is_probe: bool = False,
    ) -> Iterator[Callable[[], None]]:
        """Enclose one call to AWS and record its outcome.

        Args:
            operation: AWS name.
            params: identify the subject; without them each call is a subject of its own.
            is_read: whether a response should arrive quickly, unlike the upload of a file.
            is_probe: whether the call is sent in any state, to find out whether AWS responds. Its
                success closes the breaker; its failure does not delay probes by callers' calls.

        Yields:
            A function to call when the call is sent.

        Raises:
            errors.TaskgateError: UNAVAILABLE, reason UPSTREAM_CIRCUIT_OPEN; do not send the call.
        """
        call = TrackedCall(operation, params, self._changes, is_read)
        self._admit(call, is_probe=is_probe)

        def mark_sent() -> None:
            call.sent_at = self._clock()
            if is_read:
                self._reads[call] = call.sent_at

        try:
            yield mark_sent
        except (errors.TaskgateError, asyncio.CancelledError) as error:
            self._record_error(call, error)
            raise
        else:
            self._record(call, failed=False)
        finally:
            self._probing.discard(call)
            self._reads.pop(call, None)

    def _admit(self, call: TrackedCall, *, is_probe: bool) -> None:
        self._count_stuck_reads()
        call.state_changes = self._changes
        if self.state is State.CLOSED:
            return
        call.is_trial = is_probe or not self._check_admission(call)
        call.is_probe = not call.is_trial
        thresholds = self._thresholds
        seconds = thresholds.trial_seconds if call.is_trial else thresholds.probe_seconds
        call.expires_at = self._clock() + seconds
        if call.is_probe and self.state is State.OPEN:
            self._set_state(State.HALF_OPEN)
        call.state_changes = self._changes
        self._probing.add(call)

    def _check_admission(self, call: TrackedCall) -> bool:
        """Return whether a call is sent as usual or as a probe; False if as a trial.

        Raises:
            errors.TaskgateError: it is refused.
        """
        if self.state is State.CLOSED:
            return True
        now = self._clock()
        in_flight = [each for each in self._probing if now < each.expires_at]
        probes = sum(each.is_probe for each in in_flight)
        if now >= self._open_until and probes < self._thresholds.max_probes:
            return True
        may_try = len(in_flight) - probes < self._thresholds.max_trials and call.params is not None
        if may_try and not self._counts.is_failing(call.subject, now):
            return False
        self.refused += 1
        raise self._refusal(call.operation)

    def _count_stuck_reads(self) -> None:
        """Count reads that have been in flight for too long as failures."""
        max_seconds = max(self._thresholds.stuck_seconds, 2 * self._latency.upper_bound)
        while self._clock() - self.oldest_read_sent_at >= max_seconds:
            oldest, _ = self._reads.popitem(last=False)
            self._record(oldest, failed=True)
            oldest.is_stuck = True

    def _record_error(
        self, call: TrackedCall, error: errors.TaskgateError | asyncio.CancelledError
    ) -> None:
        """Record the error of a call. Taskgate's own errors are no evidence about AWS."""
        is_abandoned = True
        if isinstance(error, errors.TaskgateError):
            if error.domain != errors.TASKGATE_DOMAIN or is_outage(error):
                self._record(call, failed=is_outage(error))
                return
            is_abandoned = isinstance(error, errors.TimeLimitError)
        if call.sent_at is None:
            return
        if is_abandoned and self._clock() - call.sent_at >= self._thresholds.abandoned_seconds:
            self._record(call, failed=True)
        else:
            self.outcomes.failures += 1

    def _record(self, call: TrackedCall, *, failed: bool) -> None:
        if failed and call.is_stuck:
            return
        self._update_outcomes(call, failed=failed)
        # Calls from before a change of state say nothing about AWS now, except a probe's success.
        is_current = call.state_changes == self._changes
        if self.state is not State.CLOSED:
            self._record_probe(call, failed=failed, is_current=is_current)
        elif is_current or call.is_stuck:
            self._count(call, failed=failed)

    def _update_outcomes(self, call: TrackedCall, *, failed: bool) -> None:
        if failed:
            self.outcomes.failures += 1
            return
        now = self._clock()
        seconds = 0.0 if call.sent_at is None else now - call.sent_at
        self.outcomes.failures, self.outcomes.responded_at = 0, now
        if seconds <= PROMPT_SECONDS:
            self.outcomes.prompt_at = now
        if call.sent_at is not None and call.is_read:
            self._latency.record(seconds)

    def _count(self, call: TrackedCall, *, failed: bool) -> None:
        now = self._clock()
        self._counts.count(now, failed=failed)
        # Otherwise the subject need not be computed.
        if failed or self._counts.failing_subjects(now):
            self._counts.set_failing(call.subject, now, failed=failed)
        if failed and self._exceeds_thresholds():
            self._open()

    def _record_probe(self, call: TrackedCall, *, failed: bool, is_current: bool) -> None:
        if failed:
            self._counts.set_failing(call.subject, self._clock(), failed=True)
            if call.is_probe and is_current and self._clock() < call.expires_at:
                self._open()
        elif call.is_probe or call.is_trial or call.is_stuck:
            self._openings = 0
            self._counts = FailureCounts(self._thresholds.window_seconds, self._clock())
            self._set_state(State.CLOSED)

    def _exceeds_thresholds(self) -> bool:
        limits, counts, now = self._thresholds, self._counts, self._clock()
        some_succeed = now - counts.succeeded_at < limits.window_seconds
        if counts.failing_subjects(now) < limits.min_subjects and some_succeed:
            return False
        if counts.consecutive >= limits.consecutive_failures:
            return True
        min_failed = max(limits.min_failures, counts.calls * limits.failure_share)
        return counts.failed >= min_failed

    def _open(self) -> None:
        limits = self._thresholds
        factor = 2.0 ** min(self._openings, 30)  # an outage of days must not overflow a float
        seconds = min(limits.first_open_seconds * factor, limits.max_open_seconds)
        # Jitter only shortens, to keep the maximum; it separates the probes of replicas.
        self._open_until = self._clock() + seconds * self._random.uniform(0.8, 1)
        self._openings += 1
        self._set_state(State.OPEN)

    def _set_state(self, state: State) -> None:
        self.state = state
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _refusal(self, operation: str) -> errors.TaskgateError:
        # A probe in flight takes about as long as the first pause.
        remaining = self._open_until - self._clock()
        seconds = remaining if remaining > 0 else self._thresholds.first_open_seconds
        return errors.CircuitOpenError(
            errors.origin_of(self._spec, operation),
            f"{self._spec.title} has failed too often recently, so the call was not sent; retry in"
            f" {seconds:.1f} s; if this persists, check the AWS Health Dashboard and this server's"
            " network",
            details=[errors.retry_info(seconds)],
        )
