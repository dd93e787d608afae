"""Admission to AWS is fair across requesters: tokens of a rate, places to wait, calls in flight."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulation.clock import seeded, virtually
from taskgate_server.errors import TaskgateError
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.in_flight import AbandonedError, Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import Limits, Permit
from tests.support.event_loop import in_virtual_time, now, settle
from tests.upstream.rate_limit.admission import (
    GET,
    POLLER,
    SHARES,
    SPACING,
    A,
    B,
    C,
    admitted,
    end,
    flood,
    limiter,
)


@in_virtual_time
async def test_a_single_call_waits_for_one_turn_of_a_flood() -> None:
    limit, random = limiter(max_waiting=4000), seeded(2)
    queued = flood(limit, A, 1500)
    waits = []
    for _ in range(100):
        await asyncio.sleep(random.uniform(0, 0.3))
        began = now()
        waits.append(await admitted(limit, B, began + 1.0) - began)
    assert max(waits) <= 2 * SPACING + 1e-9
    # Both have what they can use: nothing is lost by being fair.
    served = sum(task.done() for task in queued) + 100
    assert served == pytest.approx(now() / SPACING, abs=2)
    await end(*queued)


@in_virtual_time
async def test_a_flood_is_refused_while_other_requesters_are_admitted() -> None:
    limit = limiter(max_waiting=100)
    queued = flood(limit, A, 101)
    await settle()
    refused = [task for task in queued if task.done() and task.exception() is not None]
    assert (len(refused), len(limit.bucket(GET)), now()) == (50, 50, 0)
    others = flood(limit, B, 30) + flood(limit, C, 20)
    await settle()
    refused = [task for task in others if task.done()]
    assert len(refused) == 5 + 7, "each may have as many as there are places left"
    newcomer = await admitted(limit, Share(Priority.INTERACTIVE, "d"), 0.5)
    assert newcomer <= 5 * SPACING
    await end(*queued, *others)


@in_virtual_time
async def test_no_requester_is_refused_for_the_backlog_of_another() -> None:
    limit = limiter()
    queued = flood(limit, A, 900)
    await settle()
    with pytest.raises(TaskgateError) as refused:
        await admitted(limit, A, 10.0)
    assert "900 calls are waiting, 899 of them" not in str(refused.value)  # the first one has left
    assert "899 calls are waiting, 899 of them from this caller; retry in 93.7 s" in str(
        refused.value
    )
    mine = [await admitted(limit, B, now() + 0.3) for _ in range(5)]
    assert mine[-1] < 10 * SPACING
    await end(*queued)


@in_virtual_time
async def test_a_shared_call_waits_in_the_lines_of_all_its_requesters() -> None:
    limit = limiter()
    queued = flood(limit, A, 500)
    await settle()
    shared = Requesters.single(A, now() + 100)
    sending = asyncio.create_task(limit.admit(GET, shared))
    await asyncio.sleep(1.0)
    assert not sending.done()
    shared.join(B, now() + 1.0)
    began = now()
    await sending
    assert now() - began <= 2 * SPACING + 1e-9
    assert all(task.done() for task in queued[:10]), "the others have not lost their turns"
    await end(*queued)


@in_virtual_time
async def test_a_shared_call_is_refused_only_if_each_of_its_requesters_would_be() -> None:
    limit = limiter(max_waiting=20)
    queued = flood(limit, A, 11)
    await settle()
    shared = Requesters.single(A, 5.0)
    with pytest.raises(TaskgateError, match="10 of them from this caller"):
        await limit.admit(GET, shared)
    shared.join(B, 5.0)
    await limit.admit(GET, shared)
    assert now() <= 2 * SPACING
    await end(*queued)


class Refusing:
    """A limiter that refuses a call once, while another requester joins it."""

    def __init__(self, share: Share, give_up_at: float, error: Exception) -> None:
        self.calls = 0
        self._joining = share, give_up_at
        self._error = error

    async def admit(self, _: str, requesters: Requesters) -> int:
        self.calls += 1
        if self.calls == 1:
            requesters.join(*self._joining)
            raise self._error
        return self.calls


@pytest.mark.parametrize(
    ("share", "give_up_at", "calls"), [(A, 1.0, 1), (A, 2.0, 2), (B, 1.0, 2), (B, 0.5, 2)]
)
@pytest.mark.parametrize("is_abandoned", [False, True])
async def test_a_refusal_does_not_count_for_requesters_that_join_meanwhile(
    share: Share, give_up_at: float, calls: int, is_abandoned: bool
) -> None:
    error = TaskgateError(code=StatusCode.RESOURCE_EXHAUSTED, message="late", reason="R")
    refusing = Refusing(share, give_up_at, AbandonedError() if is_abandoned else error)
    paced = UpstreamPipeline(
        cast("Any", None), cast("Any", refusing), CircuitBreaker(OMICS), cast("Any", None)
    )
    requesters = Requesters.single(A, 1.0)
    if calls == 1:
        with pytest.raises((TaskgateError, AbandonedError)):
            await paced.admit(GET, requesters)
    else:
        assert await paced.admit(GET, requesters) == 2  # type: ignore[comparison-overlap]  # as it stands for a permit
    assert refusing.calls == calls


@in_virtual_time
async def test_a_pollers_call_is_promoted_while_an_interactive_caller_waits_for_it() -> None:
    limit = limiter()
    pollers, queued = flood(limit, POLLER, 20), flood(limit, A, 100)
    await settle()
    shared = Requesters.single(POLLER, math.inf)
    sending = asyncio.create_task(limit.admit(GET, shared))
    await settle()
    shared.join(B, now() + 60)
    await settle()
    shared.remove(B)
    await asyncio.sleep(1.0)
    assert not sending.done(), "a requester that has left has no turn there"
    shared.join(B, now() + 60)
    began = now()
    await sending
    assert now() - began <= 2 * SPACING + 1e-9
    assert not any(task.done() for task in pollers[1:])
    await end(*queued, *pollers)


@in_virtual_time
async def test_a_call_without_requesters_is_not_sent() -> None:
    limit = limiter()
    await admitted(limit, A)
    shared = Requesters.single(A, math.inf)
    sending = asyncio.create_task(limit.admit(GET, shared))
    await settle()
    shared.remove(A)
    with pytest.raises(AbandonedError):
        await sending
    assert (len(limit.bucket(GET)), limit.bucket(GET)._timer) == (0, None)
    with pytest.raises(AbandonedError):
        await limit.admit(GET, shared)


@in_virtual_time
async def test_the_latest_deadline_of_all_requesters_applies() -> None:
    limit = limiter()
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    shared = Requesters.single(A, 5.0)
    sending = asyncio.create_task(limit.admit(GET, shared))
    await settle()
    shared.join(A, 60.0)
    limit.record_throttle(permit, 10.0)
    await sending
    assert now() == pytest.approx(10.0)


@dataclass
class Attempt:
    """A call, its requesters and its outcome."""

    requesters: Requesters
    task: asyncio.Task[Permit]
    ended: bool = False


@dataclass
class Traffic:
    """Callers, AWS and its throttles, driven by the example."""

    max_in_flight: float
    calls: list[Attempt] = field(default_factory=list)
    limit: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        spec = replace(OMICS, request_rates={GET: 5.0})
        self.limit = RateLimiter(
            spec,
            Limits(max_waiting=12),
            clock=now,
            random=Random(3),  # noqa: S311  # no secret
            max_in_flight=self.max_in_flight,
        )

    def step(self, event: str, share: Share, value: float) -> None:
        if event == "call":
            requesters = Requesters.single(share, now() + value)
            task = asyncio.create_task(self.limit.admit(GET, requesters))
            self.calls.append(Attempt(requesters, task))
            return
        waiting = [call for call in self.calls if not call.task.done()]
        sent = self.in_flight()
        if event in {"answered", "throttled", "unused", "ended"} and sent:
            self.finish(event, sent[int(value * 10) % len(sent)], value)
        elif waiting:
            call = waiting[int(value * 10) % len(waiting)]
            if event == "join":
                call.requesters.join(share, now() + value)
            elif event == "leave" and share in call.requesters.shares:
                call.requesters.remove(share)
            elif event == "cancel":
                call.task.cancel()

    def finish(self, event: str, call: Attempt, value: float) -> None:
        permit = call.task.result()
        call.ended = True
        if event == "unused":
            permit.return_unused()
            return
        if event == "throttled":
            self.limit.record_throttle(permit, value / 4)
        elif event == "answered":
            self.limit.record_response(permit)
        permit.release_slot()

    def in_flight(self) -> list[Attempt]:
        return [call for call in self.calls if is_sent(call) and not call.ended]

    def check(self) -> None:
        bucket = self.limit.bucket(GET)
        assert len(self.in_flight()) <= self.max_in_flight
        if bucket.queue.has_next:  # then it cannot leave yet, and something will wake it
            assert bucket.tokens < 1
            assert bucket._timer is not None
        if len(self.limit.slots.queue):
            assert len(self.in_flight()) == self.max_in_flight


EVENTS = ["join", "leave", "cancel", "answered", "throttled", "unused", "ended"]


def is_sent(call: Attempt) -> bool:
    return call.task.done() and not call.task.cancelled() and call.task.exception() is None


@settings(max_examples=250)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 0.3),
            st.one_of(st.just("call"), st.sampled_from(EVENTS)),
            st.sampled_from(SHARES),
            st.floats(0, 4),
        ),
        max_size=60,
    ),
    st.sampled_from([1, 2, math.inf]),
)
def test_every_call_ends_once_and_nothing_is_left(
    events: list[tuple[float, str, Share, float]], max_in_flight: float
) -> None:
    async def main() -> None:
        traffic = Traffic(max_in_flight)
        for pause, event, share, value in events:
            await asyncio.sleep(pause)
            traffic.step(event, share, value)
            await settle()
            traffic.check()
        async with asyncio.timeout(200):
            while not all(call.task.done() for call in traffic.calls):
                for call in traffic.in_flight():
                    traffic.finish("ended", call, 0.0)
                await asyncio.sleep(0.05)
                traffic.check()
        await settle()
        for call in traffic.in_flight():
            traffic.finish("ended", call, 0.0)
        check_outcomes(traffic)

    virtually(main())


def check_outcomes(traffic: Traffic) -> None:
    limit, bucket = traffic.limit, traffic.limit.bucket(GET)
    permits = [call.task.result() for call in traffic.calls if is_sent(call)]
    assert len({id(permit) for permit in permits}) == len(permits)
    others = Counter(
        "cancelled" if call.task.cancelled() else type(call.task.exception()).__name__
        for call in traffic.calls
        if not is_sent(call)
    )
    assert set(others) <= {"cancelled", "QuotaError", "AbandonedError"}
    assert (len(limit.bucket(GET)), bucket._timer, bucket._waiting_for_slot) == (0, None, 0)
    assert limit.slots._free == traffic.max_in_flight
    assert not any(lines.paused for lines in bucket.queue._priorities)
    if traffic.max_in_flight == math.inf:
        times = sorted(permit.granted_at for permit in permits)
        for first, last in itertools.combinations(range(len(times)), 2):
            span = times[last] - times[first]
            unused = sum(call.ended for call in traffic.calls)  # some gave their token back
            assert last - first + 1 <= 1 + unused + (span + 0.04) * 4.8 + 1e-6
