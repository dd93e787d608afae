"""Circuit breakers on a clock that the test sets, and calls that pass or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import grpc
import pytest
from google.rpc import error_details_pb2

from taskgate_server import errors
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, State, Thresholds

ORIGIN = errors.Origin(
    service="deadline",
    title="AWS Deadline Cloud",
    domain="deadline.amazonaws.com",
    operation="GetTask",
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Highest(Random):
    """Jitter at its most."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002  # it is the highest
        return b


def aws_error(code: str, status: int) -> errors.TaskgateError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return errors.from_aws(response, ORIGIN)


def unreachable() -> errors.TaskgateError:
    return errors.UnreachableError(ORIGIN, "no route")


def breaker(clock: Clock, **trip: float) -> CircuitBreaker:
    chosen = Thresholds(**trip)  # type: ignore[arg-type]  # whole numbers where they are to be whole
    return CircuitBreaker(DEADLINE, chosen, clock=clock, random=Highest())


def call(breaker: CircuitBreaker, error: BaseException | None = None) -> None:
    """One call that ends with the error, which is swallowed, or with success."""
    with suppress(type(error) if error else ZeroDivisionError), breaker.track("GetTask"):
        if error is not None:
            raise error


def refused(breaker: CircuitBreaker) -> float | None:
    """Return the seconds of a refusal's RetryInfo; None if the call passes (as if cancelled)."""
    ends = (asyncio.CancelledError, errors.TaskgateError)
    with pytest.raises(ends) as raised, breaker.track("GetTask"):
        raise asyncio.CancelledError
    error = raised.value
    if not isinstance(error, errors.TaskgateError):
        return None
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert (error.reason, error.domain) == ("UPSTREAM_CIRCUIT_OPEN", "taskgate")
    (wait,) = error.details
    assert isinstance(wait, error_details_pb2.RetryInfo)
    return float(wait.retry_delay.seconds + wait.retry_delay.nanos / 1e9)


def state(breaker: CircuitBreaker) -> State:
    """Its state, of which mypy does not believe that it stays."""
    return breaker.state


def opened(clock: Clock, **trip: float) -> CircuitBreaker:
    made = breaker(clock, **trip)
    while state(made) is State.CLOSED:
        call(made, unreachable())
    return made


@contextmanager
def probing(breaker: CircuitBreaker, ends: list[errors.TaskgateError | None]) -> Iterator[None]:
    """Enclose a call that ends with the error in the list."""
    with suppress(errors.TaskgateError), breaker.track("GetTask"):
        yield
        if ends and ends[0] is not None:
            raise ends[0]
