"""Which calls are retried, when, and how often in all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from random import Random

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.clock import seeded, virtually
from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.retries import (
    Backoff,
    Retries,
    RetryBudget,
    is_retryable,
    is_throttle,
    retry_info_seconds,
)

ORIGIN = errors.Origin(
    service="deadline",
    title="AWS Deadline Cloud",
    domain="deadline.amazonaws.com",
    operation="GetTask",
)


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Highest(Random):
    """Jitter at its most."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002  # it is the highest
        return b


class Attempts:
    """Tries that end as given; the last of them for ever."""

    def __init__(self, *results: str | Exception) -> None:
        self.results = list(results)
        self.numbers: list[int] = []

    async def __call__(self, number: int) -> str:
        self.numbers.append(number)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


def aws_error(code: str, **members: object) -> errors.TaskgateError:
    return errors.from_aws({"Error": {"Code": code, "Message": "no"}, **members}, ORIGIN)


def unreachable() -> errors.TaskgateError:
    return errors.UnreachableError(ORIGIN, "no route")


def fault() -> errors.TaskgateError:
    """An error of AWS without Retry-After."""
    return aws_error("InternalServerErrorException")


def retries(clock: Clock, budget: RetryBudget | None = None, **backoff: float) -> Retries:
    budget = budget or RetryBudget(clock=clock)
    chosen = Backoff(max_attempts=int(backoff.pop("max_attempts", 4)), **backoff)
    return Retries(budget, chosen, clock=clock, sleep=clock.sleep, random=Highest())


async def run(
    tries: Retries, attempts: Attempts, *, repeatable: bool = True, give_up_at: float = math.inf
) -> str:
    return await tries.run(attempts, repeatable=repeatable, give_up_at=lambda: give_up_at)


async def test_retryable_errors_are_retried_with_growing_pauses() -> None:
    clock, attempts = Clock(), Attempts(fault(), unreachable(), fault(), "ok")
    tries = retries(clock)
    assert await run(tries, attempts) == "ok"
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4])
    assert attempts.numbers == [1, 2, 3, 4]
    assert tries.count == 3


async def test_pauses_have_a_maximum() -> None:
    clock = Clock()
    with pytest.raises(errors.TaskgateError):
        await run(retries(clock, max_attempts=12, max_seconds=1.0), Attempts(fault()))
    assert max(clock.slept) == 1.0
    assert len(clock.slept) == 11


@pytest.mark.parametrize(
    ("error", "reads", "writes"),
    [
        (aws_error("ThrottlingException"), True, True),
        (aws_error("TooManyRequestsException"), True, True),
        (aws_error("InternalServerException"), True, False),
        (aws_error("ServiceUnavailable"), True, False),
        (aws_error("503", ResponseMetadata={"HTTPStatusCode": 503}), True, False),
        (aws_error("RequestTimeoutException"), True, False),
        (unreachable(), True, False),
        (aws_error("ServiceQuotaExceededException"), False, False),
        (aws_error("ValidationException"), False, False),
        (aws_error("ResourceNotFoundException"), False, False),
        (aws_error("AccessDeniedException"), False, False),
        (aws_error("ConflictException", reason="CONCURRENT_MODIFICATION"), False, False),
        (aws_error("RangeNotSatisfiableException"), False, False),
        (aws_error("ExpiredTokenException"), False, False),
        (aws_error("SomethingNew"), False, False),
        (errors.BugError(), False, False),
        (errors.invalid_request({"taskId": "empty"}), False, False),
        (errors.TimeLimitError(ORIGIN, 1), False, False),
        (errors.CircuitOpenError(ORIGIN, "no"), False, False),
        (errors.CredentialsMissingError(ORIGIN, "no"), False, False),
        (errors.ConfigurationError(ORIGIN, "no"), False, False),
        (errors.QuotaError(ORIGIN, ""), False, False),
    ],
    ids=lambda value: value.reason if isinstance(value, errors.TaskgateError) else "",
)
async def test_which_errors_are_retried(
    error: errors.TaskgateError, reads: bool, writes: bool
) -> None:
    assert is_throttle(error) is writes, "nothing else is safe for each write"
    for repeatable, again in ((True, reads), (False, writes)):
        assert is_retryable(error, repeatable=repeatable) is again
        attempts = Attempts(error, "ok")
        if again:
            assert await run(retries(Clock()), attempts, repeatable=repeatable) == "ok"
            continue
        with pytest.raises(errors.TaskgateError) as raised:
            await run(retries(Clock()), attempts, repeatable=repeatable)
        assert raised.value is error
        assert attempts.numbers == [1]


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_every_error_that_the_model_marks_is_retryable(spec: ServiceSpec) -> None:
    service = model.load_service(spec.name)
    shapes = [service.shape_for(name) for name in service.shape_names]
    marked = {shape.name for shape in shapes if "retryable" in shape.metadata}
    retryable = marked - {"RangeNotSatisfiableException"}
    assert retryable
    assert all(is_retryable(aws_error(name), repeatable=True) for name in retryable)


async def test_an_unexpected_error_is_not_retried() -> None:
    attempts = Attempts(RuntimeError("a bug"), "ok")
    with pytest.raises(RuntimeError):
        await run(retries(Clock()), attempts)
    assert attempts.numbers == [1]


async def test_pauses_are_at_least_retry_after() -> None:
    clock, error = Clock(), aws_error("ThrottlingException", retryAfterSeconds=3)
    assert retry_info_seconds(error) == 3
    assert await run(retries(clock), Attempts(error, "ok")) == "ok"
    assert clock.slept == pytest.approx([3.1])


async def test_no_pause_outlasts_the_deadline() -> None:
    clock, error = Clock(), aws_error("ThrottlingException", retryAfterSeconds=3)
    attempts = Attempts(fault(), error, "ok")
    budget = RetryBudget(clock=clock, per_second=0)
    with pytest.raises(errors.TaskgateError) as raised:
        await run(retries(clock, budget), attempts, give_up_at=103.0)
    assert raised.value is error
    assert clock.now == pytest.approx(100.1), "it was raised at once"
    assert budget.left == pytest.approx(19), "a retry that was not made costs nothing"


async def test_without_budget_the_first_error_is_raised() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock, capacity=2, per_second=0, share=0)
    attempts = Attempts(fault())
    with pytest.raises(errors.TaskgateError):
        await run(retries(clock, budget), attempts)
    assert attempts.numbers == [1, 2, 3]
    with pytest.raises(errors.TaskgateError):
        await run(retries(clock, budget), attempts)
    assert attempts.numbers == [1, 2, 3, 1]


async def test_an_outage_does_not_multiply_the_load() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    tries, attempts = retries(clock, budget), Attempts(unreachable())
    tries._sleep = lambda _: asyncio.sleep(0)  # the outage advances the clock
    for _ in range(1000):
        clock.now += 0.01
        with pytest.raises(errors.TaskgateError):
            await run(tries, attempts)
    assert 100 < tries.count <= 20 + 0.1 * 1000 + 10
    assert len(attempts.numbers) == 1000 + tries.count


async def test_a_cancelled_call_is_not_retried() -> None:
    begun = asyncio.Event()

    async def forever(_: float) -> None:
        begun.set()
        await asyncio.Event().wait()

    attempts = Attempts(fault(), "ok")
    tries = Retries(RetryBudget(), sleep=forever)
    task = asyncio.create_task(run(tries, attempts))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert attempts.numbers == [1]
    assert tries.count == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=200))
def test_the_budget_is_never_overdrawn(steps: list[tuple[float, bool]]) -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock, share=0.2, per_second=0.5, capacity=4)
    calls = made = 0
    for pause, is_call in steps:
        clock.now += pause
        if is_call:
            budget.deposit()
            calls += 1
        else:
            made += budget.withdraw()
        assert 0 <= budget.left <= 4
        assert made <= 4 + 0.2 * calls + 0.5 * (clock.now - 100) + 1e-6


@given(st.integers(1, 50), st.floats(0, 100), st.integers())
def test_a_pause_is_between_floor_and_maximum(number: int, floor: float, seed: int) -> None:
    pause = Backoff().pause(number, floor, seeded(seed))
    assert floor <= pause <= floor + 5


def test_retry_info_seconds() -> None:
    wait = error_details_pb2.RetryInfo(retry_delay=errors.to_duration(1.25))
    others = [error_details_pb2.ErrorInfo(), wait]
    make: Callable[..., errors.TaskgateError] = errors.TaskgateError
    error = make(code=grpc.StatusCode.UNAVAILABLE, message="", reason="", details=others)
    assert retry_info_seconds(error) == 1.25
    assert retry_info_seconds(fault()) == 0


async def test_a_deadline_extended_during_an_attempt_allows_another() -> None:
    clock, attempts = Clock(), Attempts(fault(), "ok")
    deadline = clock() + 0.01

    async def attempt(number: int) -> str:
        nonlocal deadline
        deadline = clock() + 60  # another requester has joined
        return await attempts(number)

    assert await retries(clock).run(attempt, repeatable=True, give_up_at=lambda: deadline) == "ok"


class Stages:
    """Rate limit, retries and breaker as the gateway puts them together, and an AWS that is out."""

    def __init__(self, out: tuple[float, float]) -> None:
        clock = asyncio.get_running_loop().time
        self.clock, self.out = clock, out
        self.limiter = RateLimiter(OMICS, clock=clock, random=seeded(1))
        self.breaker = CircuitBreaker(OMICS, clock=clock, random=seeded(1))
        self.retries = Retries(RetryBudget(clock=clock), clock=clock, random=seeded(1))
        self.sent: list[float] = []
        self.served: list[float] = []
        self.refused: list[errors.TaskgateError] = []

    async def attempt(self, _: int) -> None:
        self.breaker.check("GetRun")
        give_up_at = self.clock() + 5
        requesters = Requesters.single(Share(Priority.INTERACTIVE, ""), give_up_at)
        permit = await self.limiter.admit("GetRun", requesters)
        try:
            with self.breaker.track("GetRun"):
                await self.send()
        except errors.TaskgateError as error:
            if error.reason == "UPSTREAM_CIRCUIT_OPEN":
                permit.return_unused()
            raise
        self.limiter.record_response(permit)

    async def send(self) -> None:
        self.sent.append(self.clock())
        await asyncio.sleep(0.05)
        if self.out[0] <= self.clock() < self.out[1]:
            raise unreachable()
        self.served.append(self.clock())

    async def caller(self, until: float) -> None:
        while self.clock() < until:
            try:
                deadline = partial(float, self.clock() + 5)
                await self.retries.run(self.attempt, repeatable=True, give_up_at=deadline)
            except errors.TaskgateError as error:
                self.refused.append(error)
            await asyncio.sleep(0.5)


def test_few_calls_are_sent_into_an_outage_and_its_end_is_noticed() -> None:
    async def main() -> None:
        stages = Stages(out=(20.0, 40.0))
        await asyncio.gather(*(stages.caller(60) for _ in range(20)))
        during = [at for at in stages.sent if 22 <= at < 40]
        assert len(during) <= 18 / 0.8 + 1, "a probe a second, a little less for jitter"
        after = min(at for at in stages.served if at >= 40)
        assert after < 41.5
        assert len([at for at in stages.served if 42 <= at < 60]) > 0.9 * 9.6 * 18
        reasons = {error.reason for error in stages.refused}
        assert reasons == {"UPSTREAM_CIRCUIT_OPEN"}, (
            "refused at once, no call waits for its deadline"
        )

    virtually(main())


def test_reads_that_failed_together_use_one_retry() -> None:
    budget = RetryBudget(capacity=1.0, per_second=0.0, share=0.0, clock=Clock())
    retries = Retries(budget, Backoff(max_attempts=3), clock=Clock(), random=Highest())
    busy, throttled = aws_error("InternalServerErrorException"), aws_error("ThrottlingException")
    denied = aws_error("AccessDeniedException")
    outcomes, attempts = [busy, throttled, "a response", denied, busy], [1, 2, 1, 1, 3]
    # Highest jitter after the second try is 0.2 s, on top of the 1 s of a throttle.
    pause, may_retry = retries.batch_pause(outcomes, attempts)
    assert pause == pytest.approx(1.2)
    assert may_retry == [True, True, False, False, False]
    assert retries.count == 1
    assert retries.batch_pause(outcomes, attempts) == (0.0, [False] * 5)
    assert retries.batch_pause([], []) == (0.0, [])
