"""The rate of calls to AWS: their order, refusals, and the effect of throttles."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulation.clock import seeded, virtually
from taskgate_server import errors
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import MAX_HOLD_SECONDS, Limits, Permit
from tests.support.event_loop import in_virtual_time, now, settle

GET = "GetRunTask"
SPACING = 1 / 9.6
INTERACTIVE, POLLER = Priority.INTERACTIVE, Priority.POLLER


def limiter(**limits: Any) -> RateLimiter:
    """Of HealthOmics: 10 calls per second, of which 9.6 are used."""
    return RateLimiter(OMICS, Limits(**limits), clock=now, random=seeded(1))


def learner() -> RateLimiter:
    """Of Deadline, which has no published rates."""
    return RateLimiter(DEADLINE, clock=now, random=seeded(1))


async def admitted(
    limiter: RateLimiter, *, priority: Priority = INTERACTIVE, give_up_at: float = math.inf
) -> tuple[float, Permit]:
    permit = await limiter.admit(GET, Requesters.single(Share(priority, ""), give_up_at))
    return now(), permit


@in_virtual_time
async def test_calls_are_sent_in_order_at_the_rate() -> None:
    limit = limiter()
    times = [at for at, _ in await asyncio.gather(*(admitted(limit) for _ in range(20)))]
    # An idle bucket has 1.4 calls, so the second call leaves a little early.
    first = [0.0, SPACING - 0.04]
    assert times == pytest.approx([*first, *(first[1] + n * SPACING for n in range(1, 19))])
    assert len(limit.bucket(GET)) == 0


@in_virtual_time
async def test_operations_have_a_bucket_each() -> None:
    limit = limiter()
    await admitted(limit)
    assert limit.bucket(GET).tokens < 1 < limit.bucket("ListRunTasks").tokens
    await limit.admit("ListRunTasks", Requesters.single(Share(INTERACTIVE, ""), 0))
    assert now() == 0
    assert list(limit.buckets) == [GET, "ListRunTasks"]
    assert (limit.bucket(GET).rate, limit.bucket("StartRun").rate) == pytest.approx((9.6, 0.096))


@in_virtual_time
async def test_sent_rate_is_that_of_the_last_seconds() -> None:
    limit = limiter()
    assert limit.bucket(GET).sent_rate == 0
    for _ in range(50):
        await admitted(limit)
    assert limit.bucket(GET).sent_rate == pytest.approx(9.6, rel=0.06)
    await asyncio.sleep(5)
    assert limit.bucket(GET).sent_rate < 0.1


@in_virtual_time
async def test_without_a_published_rate_nothing_waits() -> None:
    limit = learner()
    await asyncio.gather(*(admitted(limit, give_up_at=0) for _ in range(1000)))
    assert now() == 0
    assert limit.bucket(GET).rate == limit.bucket(GET).tokens == math.inf


@in_virtual_time
async def test_interactive_calls_are_sent_before_those_of_pollers() -> None:
    limit = limiter()
    pollers = [asyncio.create_task(admitted(limit, priority=POLLER)) for _ in range(500)]
    waits = []
    for _ in range(30):
        await asyncio.sleep(0.5)
        began = now()
        waits.append((await admitted(limit))[0] - began)
    assert max(waits) <= SPACING + 1e-9
    times = [at for at, _ in await asyncio.gather(*pollers)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(530 * SPACING, abs=0.2), "no token was lost"


def refusal(error: pytest.ExceptionInfo[errors.TaskgateError]) -> tuple[str, float]:
    raised = error.value
    assert raised.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (raised.reason, raised.domain) == ("UPSTREAM_QUOTA", "taskgate")
    assert raised.metadata == {"operation": GET, "service": "omics"}
    wait, quota = raised.details
    assert isinstance(wait, error_details_pb2.RetryInfo)
    assert isinstance(quota, error_details_pb2.QuotaFailure)
    assert quota.violations[0].subject == "omics:GetRunTask"
    return raised.message, wait.retry_delay.seconds + wait.retry_delay.nanos / 1e9


@in_virtual_time
async def test_a_call_that_cannot_be_sent_in_time_is_refused_at_once() -> None:
    limit = limiter()
    waiting = [asyncio.create_task(admitted(limit)) for _ in range(97)]
    await settle()
    with pytest.raises(errors.TaskgateError) as error:
        await admitted(limit, give_up_at=5)
    assert now() == 0
    message, seconds = refusal(error)
    assert seconds == pytest.approx(97 * SPACING - 0.04)
    assert message == (
        "AWS HealthOmics: GetRunTask is limited to 9.6 calls/s and 96 calls are waiting, 96 of them"
        " from this caller; retry in 10.1 s, use a longer deadline, accept older responses"
        " (max_age) or raise the AWS quota"
    )
    in_time = await admitted(limit, give_up_at=seconds + 0.001)
    assert in_time[0] == pytest.approx(seconds), "and the estimate is exact"
    await asyncio.gather(*waiting)


@in_virtual_time
async def test_pollers_do_not_count_for_the_wait_of_an_interactive_call() -> None:
    limit = limiter()
    pollers = [asyncio.create_task(admitted(limit, priority=POLLER)) for _ in range(50)]
    await settle()
    at, _ = await admitted(limit, give_up_at=0.2)
    assert at < 0.2
    await asyncio.gather(*pollers)


@in_virtual_time
async def test_the_queue_is_bounded() -> None:
    limit = limiter(max_waiting=6)
    tasks = [asyncio.create_task(admitted(limit)) for _ in range(4)]
    await settle()
    with pytest.raises(errors.TaskgateError) as error:
        await admitted(limit)
    assert refusal(error)[1] == pytest.approx(4 * SPACING - 0.04)
    tasks[2].cancel()
    await settle()
    assert (await admitted(limit))[0] == pytest.approx(3 * SPACING - 0.04)
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_a_cancelled_call_frees_its_position() -> None:
    limit = limiter()
    await admitted(limit)
    first, second, third = (asyncio.create_task(admitted(limit)) for _ in range(3))
    await settle()
    first.cancel()
    assert (await second)[0] == pytest.approx(SPACING - 0.04)
    assert (await third)[0] == pytest.approx(2 * SPACING - 0.04)


@in_virtual_time
async def test_a_call_cancelled_right_after_admission_returns_its_token() -> None:
    limit = limiter()
    await admitted(limit)
    first, second = (asyncio.create_task(admitted(limit)) for _ in range(2))
    await settle()
    # Between the token and the task that gets it.
    asyncio.get_running_loop().call_at(SPACING - 0.04, first.cancel)
    limit.bucket(GET)._set_timer()
    assert (await second)[0] == pytest.approx(SPACING - 0.04, abs=0.002)
    assert first.cancelled()


@in_virtual_time
async def test_a_call_that_was_not_sent_returns_its_token() -> None:
    limit = limiter()
    _, permit = await admitted(limit)
    waiting = asyncio.create_task(admitted(limit))
    await settle()
    permit.return_unused()
    assert (await waiting)[0] == 0


@pytest.mark.alone  # it has a budget of CPU time, which coverage would triple
@in_virtual_time
async def test_mass_cancellation_uses_no_token() -> None:
    limit, random = limiter(max_waiting=20_000), seeded(7)
    began = time.process_time()  # of this process: others are none of its business
    tasks = [
        asyncio.create_task(admitted(limit, priority=random.choice(list(Priority))))
        for _ in range(10_000)
    ]
    await settle()
    assert len(limit.bucket(GET)) == 9_999
    remaining = [task for task in tasks if random.random() < 0.01]
    for task in set(tasks) - set(remaining):
        asyncio.get_running_loop().call_later(random.uniform(0, 5), task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    served = [task for task in tasks if not task.cancelled()]
    last = max(task.result()[0] for task in served)
    assert set(remaining) <= set(served)
    assert last <= len(served) * SPACING, "remaining calls do not wait for cancelled ones"
    assert len(limit.bucket(GET)) == 0
    assert limit.bucket(GET)._timer is None
    assert time.process_time() - began < 5, "10,000 waiters are nothing special"


@pytest.mark.parametrize("make", [limiter, learner])
def test_no_call_is_sent_before_retry_after(make: Callable[[], RateLimiter]) -> None:
    async def main() -> None:
        limit = make()
        _, permit = await admitted(limit)
        await asyncio.sleep(0.05)
        limit.record_throttle(permit, 7.0)
        limit.record_throttle(permit, 2.0)  # a shorter one takes nothing back
        first, second = await asyncio.gather(admitted(limit), admitted(limit, priority=POLLER))
        assert first[0] == pytest.approx(7.05, abs=1e-6)
        assert first[0] >= 7.05 - 1e-9
        assert second[0] == pytest.approx(7.01 + 1 / limit.bucket(GET).rate)

    virtually(main())


@pytest.mark.parametrize("retry_after", [math.nan, -1.0, 0.0, None])
def test_an_invalid_retry_after_is_ignored(retry_after: float | None) -> None:
    async def main() -> None:
        limit = limiter()
        _, permit = await admitted(limit)
        limit.record_throttle(permit, retry_after)
        assert (await admitted(limit))[0] == pytest.approx(1 / limit.bucket(GET).rate)

    virtually(main())


@in_virtual_time
async def test_an_infinite_retry_after_is_bounded() -> None:
    limit = limiter()
    _, permit = await admitted(limit)
    limit.record_throttle(permit, math.inf)
    assert (await admitted(limit))[0] == pytest.approx(MAX_HOLD_SECONDS)


@in_virtual_time
async def test_a_throttle_refuses_calls_that_can_no_longer_be_in_time() -> None:
    limit = limiter()
    _, permit = await admitted(limit)
    hasty = [asyncio.create_task(admitted(limit, give_up_at=3)) for _ in range(5)]
    patient = asyncio.create_task(admitted(limit, priority=POLLER, give_up_at=60))
    await settle()
    limit.record_throttle(permit, 10)
    await settle()
    assert now() == 0
    for task in hasty:
        error = task.exception()
        assert isinstance(error, errors.TaskgateError)
        assert error.reason == "UPSTREAM_QUOTA"
    assert (await patient)[0] == pytest.approx(10)


@in_virtual_time
async def test_simultaneous_throttles_decrease_the_rate_once() -> None:
    limit = learner()
    permits = [permit for _, permit in await asyncio.gather(*(admitted(limit) for _ in range(60)))]
    for permit in permits[25:]:
        limit.record_throttle(permit, None)
    # The 26th call was the first that AWS refused: 25 in a second are possible.
    assert 0.7 * 26 <= limit.bucket(GET).rate <= 0.8 * 26


@in_virtual_time
async def test_an_unused_rate_does_not_increase() -> None:
    limit = limiter()
    _, permit = await admitted(limit)
    limit.record_throttle(permit, None)
    low = limit.bucket(GET).rate
    for _ in range(20):
        await asyncio.sleep(5)
        limit.record_response((await admitted(limit))[1])
    assert limit.bucket(GET).rate == low
    for _ in range(20):
        for _, each in await asyncio.gather(*(admitted(limit) for _ in range(3))):
            limit.record_response(each)
    assert low < limit.bucket(GET).rate < 9.6


@in_virtual_time
async def test_the_rate_does_not_decrease_below_the_floor() -> None:
    limit = limiter()
    for _ in range(60):
        _, permit = await admitted(limit)
        limit.record_throttle(permit, None)
    assert limit.bucket(GET).rate == pytest.approx(0.1)


@in_virtual_time
async def test_a_long_time_without_throttles_resets_the_rate() -> None:
    limit = learner()
    _, permit = await admitted(limit)
    limit.record_throttle(permit, None)
    await asyncio.sleep(599)
    assert limit.bucket(GET).rate < 1
    await asyncio.sleep(2)
    assert limit.bucket(GET).rate == math.inf
    limit.record_throttle(permit, None)  # very late
    assert limit.bucket(GET).rate == math.inf
    _, permit = await admitted(limit)
    limit.record_throttle(permit, None)
    assert limit.bucket(GET).rate < 1


class Traffic:
    """Callers driven by the example."""

    def __init__(self) -> None:
        spec = replace(OMICS, request_rates={GET: 5.0})
        self.limit = RateLimiter(spec, Limits(max_waiting=10), clock=now, random=seeded(3))
        self.calls: list[asyncio.Task[tuple[float, Permit]]] = []
        self.reported: list[Permit] = []

    def step(self, event: str, value: float) -> None:
        if event in ("interactive", "poller"):
            priority = INTERACTIVE if event == "interactive" else POLLER
            call = admitted(self.limit, priority=priority, give_up_at=now() + value)
            self.calls.append(asyncio.create_task(call))
        elif event == "cancel" and self.calls:
            self.calls[int(value) % len(self.calls)].cancel()
        else:
            self.report(event, value)

    def report(self, event: str, value: float) -> None:
        """Report the outcome of the last call that was sent, unless it has been reported."""
        permits = [permit for _, permit in self.left() if permit not in self.reported]
        if not permits:
            return
        self.reported.append(permits[-1])
        if event == "throttle":
            self.limit.record_throttle(permits[-1], value / 4)
        else:
            self.limit.record_response(permits[-1])

    def left(self) -> list[tuple[float, Permit]]:
        done = [call for call in self.calls if call.done() and not call.cancelled()]
        return [call.result() for call in done if call.exception() is None]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 0.3),
            st.sampled_from(["interactive", "poller", "cancel", "throttle", "answer"]),
            st.floats(0, 4),
        ),
        max_size=40,
    )
)
@settings(max_examples=150)
def test_the_rate_holds_and_all_calls_end(
    events: list[tuple[float, str, float]],
) -> None:
    async def main() -> None:
        traffic = Traffic()
        for pause, event, value in events:
            await asyncio.sleep(pause)
            traffic.step(event, value)
        async with asyncio.timeout(100):
            await asyncio.gather(*traffic.calls, return_exceptions=True)
        times = sorted(at for at, _ in traffic.left())
        for first, last in itertools.combinations(range(len(times)), 2):
            span = times[last] - times[first]
            assert last - first + 1 <= 1 + (span + 0.04) * 4.8 + 1e-6
        assert len(traffic.limit.bucket(GET)) == 0
        assert traffic.limit.bucket(GET)._timer is None

    virtually(main())
