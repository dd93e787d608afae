"""The circuit breaker of one AWS service in one region: no calls into an outage.

CLOSED      calls go; when too many fail it opens
OPEN        calls are refused at once, for a while
HALF_OPEN   a few go, as probes: a success closes, a failure opens for longer

Failures of one subject, which is an operation with its parameters, are no outage of the service: it
opens when several subjects fail, or when nothing has succeeded for a while. While it is open a
subject of which no failure is known may try.
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
from taskgate_server.upstream.failure_tally import FailureTally
from taskgate_server.upstream.outcomes import Outcomes
from taskgate_server.upstream.rate_limit.latency import Duration

FIRST_OUTAGE_STATUS: Final = 500


class State(enum.Enum):
    """What becomes of calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """When the breaker opens, and for how long."""

    consecutive: int = 10
    """It opens after so many failures with no answer between them ..."""
    share: float = 0.5
    """... or when so large a part of the calls fails ..."""
    least_failures: float = 10.0
    """... and so many of them did ..."""
    window_seconds: float = 10.0
    """... within about this time."""
    first_open_seconds: float = 0.2
    max_open_seconds: float = 1.0
    """It doubles up to this. A probe a second is nothing to AWS, and callers are served again
    within a second of the outage's end; what the breaker saves are this server's threads."""
    probes: int = 1
    """How many probes may be under way."""
    probe_seconds: float = 1.0
    """A probe that has no response by then does not keep others from probing. Its own response, if
    it comes, still counts as a success."""
    trials: int = 4
    """How many calls of subjects without a known failure may be under way while it is open."""
    trial_seconds: float = 8.0
    """The same as `probe_seconds` for them: each of them that hangs holds a thread."""
    subjects: int = 3
    """It opens if so many subjects fail, or without any success for `window_seconds`."""
    abandoned_seconds: float = 1.0
    """A call that its callers gave up counts as a failure if it had been sent so long ago. Sooner,
    it says more about their patience than about AWS."""
    stuck_seconds: float = 3.0
    """A read without a response counts as a failure after so long, or after twice the time within
    which nearly all calls end, if that is longer."""


def is_outage(error: errors.TaskgateError) -> bool:
    """Whether the error says that AWS cannot be reached or cannot work, whoever asks for whatever.

    Throttles, refused credentials and all that is the caller's fault are answers: AWS is there.
    """
    if error.domain == errors.TASKGATE_DOMAIN:
        return isinstance(error, errors.UnreachableError)
    if error.retry is errors.Retry.THROTTLE:  # some services throttle with 503
        return False
    status = error.metadata.get("http_status", "")
    return status.isdecimal() and int(status) >= FIRST_OUTAGE_STATUS


def _is_from_aws(error: errors.TaskgateError) -> bool:
    return error.domain != errors.TASKGATE_DOMAIN or is_outage(error)


@dataclass(slots=True, eq=False)
class Passage:
    """One call that the breaker let through."""

    operation: str
    params: Mapping[str, Any] | None
    era: int
    """How often the state had changed when it came."""
    probe: bool = False
    trial: bool = False
    expires_at: float = math.inf
    """When it no longer keeps other probes from being sent."""
    sent_at: float | None = None
    is_read: bool = True
    is_counted: bool = False
    """Whether it counts as a failure already, since it takes too long."""

    @property
    def subject(self) -> Hashable:
        """What the call is about; itself where that is not known."""
        return self if self.params is None else hash((self.operation, repr(self.params)))


class CircuitBreaker:
    """Lets calls to one AWS service pass, or refuses them; for one event loop.

    Args:
        spec: the service.
        trip: when it opens.
        clock: monotonic seconds.
        random: for jitter.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        trip: Trip | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.refused = 0
        """Calls refused so far, for metrics."""
        self.outcomes = Outcomes()
        """Of all calls, whatever the state."""
        self._spec = spec
        self._trip = trip or Trip()
        self._clock = clock
        self._random = random or Random()  # noqa: S311  # jitter is no secret
        self._state = State.CLOSED
        self._changes = 0
        self._changed = asyncio.Event()
        self._tally = FailureTally(self._trip.window_seconds)
        self._opened = 0  # times in a row, without having been closed
        self._open_until = -math.inf
        self._probing: set[Passage] = set()
        self._reads: OrderedDict[Passage, None] = OrderedDict()
        """Without a response, and not counted as failures: the oldest first."""
        self._duration = Duration()

    @property
    def state(self) -> State:
        """What becomes of calls; half-open from the first probe on."""
        return self._state

    @property
    def oldest_read(self) -> float:
        """When the oldest read was sent that has no response yet; inf without one."""
        oldest = next(iter(self._reads), None)
        return math.inf if oldest is None or oldest.sent_at is None else oldest.sent_at

    async def changed(self, seen: int) -> int:
        """Wait until the state has changed more than `seen` times; return how many."""
        while self._changes <= seen:
            await self._changed.wait()
        return self._changes

    def refuses_for(self) -> float:
        """Return the seconds for which all calls are refused; 0 when one may come, as a probe."""
        left = self._open_until - self._clock()
        return max(left, 0.0) if self._state is State.OPEN else 0.0

    def check(self, operation: str, params: Mapping[str, Any] | None = None) -> None:
        """Refuse like `passing`, and let nothing in: for before a call waits for its turn.

        Raises:
            errors.TaskgateError: UNAVAILABLE, reason UPSTREAM_CIRCUIT_OPEN.
        """
        self._count_stuck()
        self._admit(Passage(operation, params, self._changes))

    @contextmanager
    def passing(
        self,
        operation: str,
        params: Mapping[str, Any] | None = None,
        *,
        is_read: bool = True,
        is_probe: bool = False,
    ) -> Iterator[Callable[[], None]]:
        """Enclose one call to AWS, and learn from how it ends.

        A call that Taskgate itself refuses teaches nothing.

        Args:
            operation: by its AWS name.
            params: tell its subject; without them each call counts as a subject of its own.
            is_read: whether it should be quick, unlike the upload of a file.
            is_probe: whether to send it in any state, since its purpose is to see if AWS responds.
                Its success closes the breaker; its failure delays no probe by a caller's call.

        Yields:
            A function to call when the call is sent.

        Raises:
            errors.TaskgateError: UNAVAILABLE, reason UPSTREAM_CIRCUIT_OPEN; nothing is to be sent.
        """
        passage = self._enter(operation, params, is_probe=is_probe)
        passage.is_read = is_read

        def sent() -> None:
            passage.sent_at = self._clock()
            if is_read:
                self._reads[passage] = None

        try:
            yield sent
        except (errors.TaskgateError, asyncio.CancelledError) as error:
            self._learn_from_error(passage, error)
            raise
        else:
            self._learn(passage, failed=False)
        finally:
            self._probing.discard(passage)
            self._reads.pop(passage, None)

    def _enter(
        self, operation: str, params: Mapping[str, Any] | None, *, is_probe: bool
    ) -> Passage:
        self._count_stuck()
        passage = Passage(operation, params, self._changes)
        if self._state is State.CLOSED:
            return passage
        passage.trial = is_probe or not self._admit(passage)
        passage.probe = not passage.trial
        seconds = self._trip.trial_seconds if passage.trial else self._trip.probe_seconds
        passage.expires_at = self._clock() + seconds
        if passage.probe and self._state is State.OPEN:
            self._become(State.HALF_OPEN)
        passage.era = self._changes
        self._probing.add(passage)
        return passage

    def _admit(self, passage: Passage) -> bool:
        """Return whether a call goes on its own account, as a probe or since all go.

        Returns:
            False if it goes as a trial of its subject.

        Raises:
            errors.TaskgateError: it does not go.
        """
        if self._state is State.CLOSED:
            return True
        now = self._clock()
        under_way = [each for each in self._probing if now < each.expires_at]
        probes = sum(each.probe for each in under_way)
        if now >= self._open_until and probes < self._trip.probes:
            return True
        has_room = len(under_way) - probes < self._trip.trials
        is_known = passage.params is not None
        if has_room and is_known and not self._tally.is_failing(passage.subject, now):
            return False
        self.refused += 1
        raise self._refusal(passage.operation)

    def _count_stuck(self) -> None:
        """Count the reads that AWS has not answered for too long as failures."""
        too_long = max(self._trip.stuck_seconds, 2 * self._duration.most)
        now = self._clock()
        while self._reads:
            oldest = next(iter(self._reads))
            if oldest.sent_at is None or now - oldest.sent_at < too_long:
                return
            del self._reads[oldest]
            self._learn(oldest, failed=True)
            oldest.is_counted = True

    def _learn_from_error(
        self, passage: Passage, error: errors.TaskgateError | asyncio.CancelledError
    ) -> None:
        if isinstance(error, errors.TaskgateError) and _is_from_aws(error):
            self._learn(passage, failed=is_outage(error))
            return
        is_given_up = isinstance(error, asyncio.CancelledError | errors.TimeLimitError)
        if is_given_up and self._is_abandoned(passage):
            self._learn(passage, failed=True)
        elif passage.sent_at is not None:
            self.outcomes.failed()

    def _is_abandoned(self, passage: Passage) -> bool:
        sent_at = passage.sent_at
        if sent_at is None:
            return False
        return self._clock() - sent_at >= self._trip.abandoned_seconds

    def _learn(self, passage: Passage, *, failed: bool) -> None:
        if failed and passage.is_counted:
            return
        self._note_outcome(passage, failed=failed)
        if not failed and passage.sent_at is not None and passage.is_read:
            self._duration.note(self._clock() - passage.sent_at)
        # Calls from before a change say how AWS was then. A probe's success says how it is now.
        is_current = passage.era == self._changes
        if self._state is not State.CLOSED:
            self._learn_of_outage(passage, failed=failed, is_current=is_current)
        elif is_current or passage.is_counted:
            self._count(passage, failed=failed)

    def _note_outcome(self, passage: Passage, *, failed: bool) -> None:
        if failed:
            self.outcomes.failed()
            return
        now = self._clock()
        self.outcomes.answered(now, now - (now if passage.sent_at is None else passage.sent_at))

    def _count(self, passage: Passage, *, failed: bool) -> None:
        now = self._clock()
        self._tally.count(now, failed=failed)
        if failed:
            self._tally.note_failing(passage.subject, now)
            if self._is_too_much():
                self._open()
        elif self._tally.failing(now):  # else the subject need not be worked out
            self._tally.forget(passage.subject)

    def _learn_of_outage(self, passage: Passage, *, failed: bool, is_current: bool) -> None:
        if failed:
            self._tally.note_failing(passage.subject, self._clock())
            if passage.probe and is_current and self._clock() < passage.expires_at:
                self._open()
        elif passage.probe or passage.trial or passage.is_counted:
            self._close()

    def _is_too_much(self) -> bool:
        trip, tally, now = self._trip, self._tally, self._clock()
        if tally.failing(now) < trip.subjects and now - tally.succeeded_at < trip.window_seconds:
            return False
        many = tally.failed >= trip.least_failures
        return tally.in_a_row >= trip.consecutive or (many and tally.share >= trip.share)

    def _open(self) -> None:
        trip = self._trip
        longer = 2.0 ** min(self._opened, 30)  # an outage of days must not overflow a float
        seconds = min(trip.first_open_seconds * longer, trip.max_open_seconds)
        # Jitter makes it shorter only, so that the longest is the longest; replicas probe apart.
        self._open_until = self._clock() + seconds * self._random.uniform(0.8, 1)
        self._opened += 1
        self._become(State.OPEN)

    def _close(self) -> None:
        self._opened = 0
        self._tally = FailureTally(self._trip.window_seconds)
        self._tally.succeeded_at = self._clock()
        self._become(State.CLOSED)

    def _become(self, state: State) -> None:
        self._state = state
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _refusal(self, operation: str) -> errors.TaskgateError:
        spec = self._spec
        origin = errors.Origin(
            service=spec.name, title=spec.title, domain=spec.error_domain, operation=operation
        )
        # While a probe is under way nobody knows: its answer takes about as long as a first wait.
        left = self._open_until - self._clock()
        seconds = left if left > 0 else self._trip.first_open_seconds
        return errors.CircuitOpenError(
            origin,
            f"{spec.title} has failed too often just now, so it was not called: retry in"
            f" {seconds:.1f} s; if it stays, see AWS's health dashboard and this server's network",
            details=[errors.retry_info(seconds)],
        )
