"""When the circuit breaker opens and closes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.clock import seeded
from taskgate_server import errors
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, State, Thresholds, is_outage
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


def test_it_opens_after_failures_in_a_row() -> None:
    made = breaker(Clock())
    for _ in range(9):
        call(made, unreachable())
    for _ in range(20):
        call(made)
    for _ in range(9):
        call(made, aws_error("InternalServerErrorException", 500))
    assert state(made) is State.CLOSED
    call(made, aws_error("503", 503))
    assert state(made) is State.OPEN
    assert refused(made) == pytest.approx(0.2)
    assert made.refused == 1


def test_it_opens_when_most_calls_fail() -> None:
    clock = Clock()
    made = breaker(clock)
    for _ in range(40):
        clock.now += 0.01
        call(made)
    for _ in range(100):
        clock.now += 0.1
        call(made, unreachable())
        call(made, unreachable())
        if state(made) is State.OPEN:
            break
        call(made)
    assert state(made) is State.OPEN


@pytest.mark.parametrize("failing", [0.1, 0.3])
def test_it_stays_closed_while_most_calls_succeed(failing: float) -> None:
    clock, random = Clock(), seeded(1)
    made = breaker(clock)
    for _ in range(20_000):
        clock.now += 0.01
        call(made, unreachable() if random.random() < failing else None)
        assert state(made) is State.CLOSED


def test_old_failures_do_not_count() -> None:
    clock = Clock()
    made = breaker(clock, consecutive_failures=1000)
    for _ in range(200):
        clock.now += 10
        call(made, unreachable())
    assert state(made) is State.CLOSED


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (unreachable(), True),
        (aws_error("InternalServerErrorException", 500), True),
        (aws_error("ServiceUnavailable", 503), True),
        (aws_error("502", 502), True),
        (aws_error("ThrottlingException", 429), False),
        (aws_error("ResourceNotFoundException", 404), False),
        (aws_error("ValidationException", 400), False),
        (aws_error("RequestTimeoutException", 408), False),
        (aws_error("ExpiredTokenException", 403), False),
        (errors.TimeLimitError(ORIGIN, 1), False),
        (errors.BugError(), False),
    ],
    ids=lambda value: value.reason if isinstance(value, errors.TaskgateError) else "",
)
def test_only_outages_open_it(error: errors.TaskgateError, is_one: bool) -> None:
    assert is_outage(error) is is_one
    made = breaker(Clock())
    for _ in range(100):
        call(made, error)
        if state(made) is State.OPEN:
            break
    assert (state(made) is State.OPEN) is is_one


def test_bugs_and_cancelled_calls_are_no_evidence() -> None:
    made = breaker(Clock(), consecutive_failures=2)
    call(made, unreachable())
    call(made, asyncio.CancelledError())
    call(made, RuntimeError("a bug"))
    call(made, errors.BugError())
    assert state(made) is State.CLOSED
    call(made, unreachable())
    assert state(made) is State.OPEN


def test_a_probe_that_succeeds_closes_it() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 0.1999
    assert refused(made) == pytest.approx(0.0001)
    clock.now += 0.0002
    with probing(made, []):
        assert state(made) is State.HALF_OPEN
        assert refused(made) == pytest.approx(0.2), "one probe is enough"
    assert state(made) is State.CLOSED
    for _ in range(9):
        call(made, unreachable())
    assert state(made) is State.CLOSED, "it counts anew"


def test_any_response_is_a_success() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 1
    call(made, aws_error("ThrottlingException", 429))
    assert state(made) is State.CLOSED


def test_failed_probes_double_the_pause_up_to_a_second() -> None:
    clock = Clock()
    made = opened(clock)
    waits = []
    for _ in range(2000):
        wait = refused(made)
        assert wait is not None
        waits.append(wait)
        clock.now += wait + 1e-6
        call(made, unreachable())
        assert state(made) is State.OPEN
    assert waits[:5] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])
    assert max(waits) == pytest.approx(1.0)
    clock.now += 1
    call(made)
    assert refused(opened(clock)) == pytest.approx(0.2), "short again after a success"


def test_the_number_of_probes_is_bounded() -> None:
    clock = Clock()
    made = opened(clock, max_probes=2)
    clock.now += 1
    with probing(made, [unreachable()]):
        with probing(made, [unreachable()]):
            made_third = refused(made)
            assert made_third is not None
        assert state(made) is State.OPEN
    assert refused(made) == pytest.approx(0.4), "two probes that fail are one failure"


def test_a_cancelled_probe_makes_room_for_another() -> None:
    clock = Clock()
    made = opened(clock)
    clock.now += 1
    for _ in range(3):
        assert refused(made) is None
        assert state(made) is State.HALF_OPEN
    call(made)
    assert state(made) is State.CLOSED


def test_calls_from_before_a_change_do_not_count() -> None:
    clock = Clock()
    made = breaker(clock)
    with probing(made, []):  # succeeds, late
        while state(made) is State.CLOSED:
            call(made, unreachable())
    assert state(made) is State.OPEN
    clock.now += 1
    with probing(made, [None]):
        assert state(made) is State.HALF_OPEN
    assert state(made) is State.CLOSED


def test_check_refuses_but_admits_no_call() -> None:
    clock = Clock()
    made = breaker(clock)
    made.check("GetTask")
    made = opened(clock)
    with pytest.raises(errors.TaskgateError, match="has failed too often"):
        made.check("GetTask")
    clock.now += 1
    made.check("GetTask")
    assert state(made) is State.OPEN
    with probing(made, []), pytest.raises(errors.TaskgateError):
        made.check("GetTask")
    made.check("GetTask")


async def test_changes_of_state_can_be_awaited() -> None:
    clock = Clock()
    made = breaker(clock)
    states: list[State] = []

    async def follow() -> None:
        count = 0
        while len(states) < 3:
            count = await made.wait_for_change(count)
            states.append(state(made))

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    while state(made) is State.CLOSED:
        call(made, unreachable())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += 1
    with probing(made, []):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await task
    assert states == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert await made.wait_for_change(0) == 3, "earlier changes are returned at once"


@given(
    st.lists(
        st.tuples(st.floats(0, 0.5), st.sampled_from(["ok", "fails", "cancelled", "throttled"])),
        max_size=200,
    ),
    st.integers(),
)
def test_it_never_refuses_for_longer_than_the_maximum(
    steps: list[tuple[float, str]], seed: int
) -> None:
    clock = Clock()
    made = CircuitBreaker(
        DEADLINE, Thresholds(consecutive_failures=2), clock=clock, random=seeded(seed)
    )
    ends = {
        "ok": None,
        "fails": unreachable(),
        "cancelled": asyncio.CancelledError(),
        "throttled": aws_error("ThrottlingException", 429),
    }
    refused_since = None
    for pause, end in steps:
        clock.now += pause
        before = made.refused
        with suppress(errors.TaskgateError):
            call(made, ends[end])
        if made.refused == before:
            refused_since = None
            continue
        refused_since = clock.now if refused_since is None else refused_since
        assert clock.now - refused_since <= 1.0
