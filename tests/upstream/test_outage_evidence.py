"""What the circuit breaker takes for an outage of AWS, and how soon it notices the end of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from taskgate_server import errors
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, State
from tests.upstream.breakers import (
    ORIGIN,
    Clock,
    aws_error,
    breaker,
    call,
    opened,
    probing,
    refused,
    state,
    unreachable,
)


def late(error: errors.TaskgateError | None = None) -> list[errors.TaskgateError | None]:
    """The end of a call that is still under way."""
    return [error]


def test_a_hanging_probe_does_not_prevent_other_probes() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 0.3
    with probing(made, late(unreachable())):
        assert refused(made) is not None
        clock.now += 0.999
        assert refused(made) is not None
        clock.now += 0.002
        call(made)
        assert state(made) is State.CLOSED
    assert state(made) is State.CLOSED, "the late failure is no evidence about now"


def test_a_late_success_of_a_probe_counts() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 0.3
    with probing(made, []):
        clock.now += 1.5
        call(made, unreachable())
        assert state(made) is State.OPEN
    assert state(made) is State.CLOSED


def test_recovery_within_two_seconds_however_many_probes_hang() -> None:
    clock = Clock()
    made = opened(clock)
    hanging = ExitStack()
    for _ in range(300):  # 30 s with a call each tenth of a second, and each probe hangs
        clock.now += 0.1
        with suppress(errors.TaskgateError):
            hanging.enter_context(made.track("GetTask"))
    recovered = clock.now
    while state(made) is not State.CLOSED:
        clock.now += 0.1
        with suppress(errors.TaskgateError):
            call(made)
    assert clock.now - recovered <= 2
    hanging.close()


def passes(breaker: CircuitBreaker, run: str, error: errors.TaskgateError | None = None) -> bool:
    """Whether a call about a run passes; it ends with the error."""
    before = breaker.refused
    with suppress(errors.TaskgateError), breaker.track("GetRun", {"id": run}):
        if error is not None:
            raise error
    return breaker.refused == before


@pytest.mark.parametrize("bad_per_good", [1, 20, 200])
def test_one_failing_subject_does_not_open_it(bad_per_good: int) -> None:
    clock = Clock()
    made = breaker(clock)
    for _ in range(60):
        for _ in range(bad_per_good):
            clock.now += 0.05
            passes(made, "bad", aws_error("InternalServerException", 500))
        assert passes(made, "good")
        assert passes(made, "good too")
        assert passes(made, "good")


def test_a_subject_without_a_known_failure_is_sent_as_a_trial() -> None:
    made = breaker(Clock())
    for number in range(10):
        passes(made, str(number), unreachable())
    assert state(made) is State.OPEN
    assert not passes(made, "1")
    assert passes(made, "new", unreachable())
    assert state(made) is State.OPEN
    assert not passes(made, "new"), "it has failed now"
    assert passes(made, "another")
    assert state(made) is State.CLOSED


def test_trials_are_bounded() -> None:
    clock = Clock()
    made = breaker(clock)
    for number in range(10):
        passes(made, str(number), unreachable())
    with ExitStack() as stack:
        for number in range(4):
            stack.enter_context(made.track("GetRun", {"id": f"new {number}"}))
        assert not passes(made, "one more")
        clock.now += 7.9
        call(made, unreachable())  # a probe is due
        assert not passes(made, "one more")
        clock.now += 0.2
        stack.enter_context(made.track("GetRun", {"id": "after those that hang"}))


def abandon(breaker: CircuitBreaker, clock: Clock, seconds: float, end: BaseException) -> None:
    with suppress(type(end)), breaker.track("GetTask") as sent:
        sent()
        clock.now += seconds
        raise end


@pytest.mark.parametrize(
    "end", [asyncio.CancelledError(), errors.TimeLimitError(ORIGIN, 1)], ids=["left", "over"]
)
def test_abandoned_calls_count_as_failures_after_a_second(end: BaseException) -> None:
    clock = Clock()
    made = breaker(clock)
    for _ in range(100):
        abandon(made, clock, 0.9, end)
    assert state(made) is State.CLOSED, "the callers were impatient"
    for _ in range(10):
        abandon(made, clock, 1.1, end)
    assert state(made) is State.OPEN


def test_an_unsent_call_is_no_evidence() -> None:
    clock = Clock()
    made = breaker(clock)
    for _ in range(100):
        with suppress(asyncio.CancelledError), made.track("GetTask"):
            clock.now += 5
            raise asyncio.CancelledError
    assert state(made) is State.CLOSED


def test_stuck_reads_open_it_before_their_callers_give_up() -> None:
    clock = Clock()
    made = breaker(clock)
    with ExitStack() as hanging:
        for _ in range(10):
            hanging.enter_context(made.track("GetTask"))()
        clock.now += 2.9
        made.check("GetTask")
        clock.now += 0.2
        with pytest.raises(errors.TaskgateError):
            made.check("GetTask")
        assert state(made) is State.OPEN
    assert state(made) is State.CLOSED, "late responses: AWS is slow, not down"


def test_slow_operations_do_not_open_it() -> None:
    clock = Clock()
    made = breaker(clock)
    with ExitStack() as uploads:
        for _ in range(10):
            uploads.enter_context(made.track("UploadReadSetPart", is_read=False))()
        clock.now += 60
        made.check("GetTask")
    for _ in range(20):
        with made.track("GetTask") as sent:
            sent()
            clock.now += 2.5
    with ExitStack() as slow:
        for _ in range(10):
            slow.enter_context(made.track("GetTask"))()
        clock.now += 4
        made.check("GetTask")
    assert state(made) is State.CLOSED


def test_stuck_reads_count_once() -> None:
    clock = Clock()
    made = breaker(clock, consecutive_failures=20, min_failures=20)
    hanging = ExitStack()
    for _ in range(10):
        hanging.enter_context(abandoned(made))
    clock.now += 5
    made.check("GetTask")
    hanging.close()
    assert made._counts.consecutive == 10


@contextmanager
def abandoned(breaker: CircuitBreaker) -> Iterator[None]:
    with suppress(asyncio.CancelledError), breaker.track("GetTask") as sent:
        sent()
        yield
        raise asyncio.CancelledError
