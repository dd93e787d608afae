"""The limits of each caller, with a fake clock."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.auth import limits
from taskgate_server.auth.limits import CallerLimits, Limits

BYTES = 1000.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def limits_with(
    clock: Clock, rate: float = 1000, calls: int = 10, streams: int = 10
) -> CallerLimits:
    return CallerLimits(
        Limits(
            calls_per_second=rate,
            concurrent_calls=calls,
            streams=streams,
            request_bytes_per_second=BYTES,
        ),
        clock,
    )


def refused(
    limiter: CallerLimits, caller: str = "a", *, stream: bool = False
) -> errors.TaskgateError:
    with pytest.raises(errors.TaskgateError) as caught:
        limiter.admit(caller, stream=stream)
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    return caught.value


def call(limiter: CallerLimits, caller: str = "a", times: int = 1, *, stream: bool = False) -> None:
    for _ in range(times):
        limiter.admit(caller, stream=stream)()


def test_call_after_too_many_request_bytes_is_refused_with_retry_info() -> None:
    clock = Clock()
    limiter = limits_with(clock)
    call(limiter)
    limiter.count_bytes("a", 900)
    call(limiter)
    limiter.count_bytes("a", 600)
    error = refused(limiter)
    assert error.metadata["limit"] == "request_bytes_per_second"
    (detail,) = error.details
    assert isinstance(detail, error_details_pb2.RetryInfo)
    assert detail.retry_delay.ToTimedelta().total_seconds() == pytest.approx(0.5)
    call(limiter, "b")
    clock.now += 0.5
    call(limiter)


def test_calls_over_the_rate_are_refused_with_retry_info() -> None:
    clock = Clock()
    limiter = limits_with(clock, rate=4)
    call(limiter, times=4)
    (detail,) = refused(limiter).details
    assert isinstance(detail, error_details_pb2.RetryInfo)
    assert detail.retry_delay.ToTimedelta().total_seconds() == pytest.approx(0.25)
    clock.now += 0.25
    call(limiter)
    refused(limiter)


def test_refusals_are_delayed_for_a_caller_that_ignores_them() -> None:
    clock = Clock()
    limiter = limits_with(clock, rate=1)
    call(limiter)
    for _ in range(100):
        refused(limiter)
        assert limiter.hold_seconds("a") == 0
    refused(limiter)
    assert limiter.hold_seconds("a") == 0.05
    for _ in range(900):
        refused(limiter)
    assert limiter.hold_seconds("a") == 0.5
    clock.now += 3
    call(limiter)
    refused(limiter)
    assert limiter.hold_seconds("a") == 0
    assert limiter.hold_seconds("b") == 0


def test_further_messages_of_a_stream_count_as_calls() -> None:
    clock = Clock()
    limiter = limits_with(clock, rate=2)
    limiter.admit("a", stream=True)
    assert limiter.admit_message("a") == 0
    assert limiter.admit_message("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert limiter.admit_message("a") == 0


def test_other_callers_are_not_limited() -> None:
    limiter = limits_with(Clock(), rate=1)
    call(limiter, "a")
    refused(limiter, "a")
    call(limiter, "b")


def test_rate_below_one_call_per_second_admits_calls() -> None:
    clock = Clock()
    limiter = limits_with(clock, rate=0.1)
    call(limiter)
    clock.now += 9
    refused(limiter)
    clock.now += 1
    call(limiter)


@pytest.mark.parametrize(("stream", "limit"), [(False, "concurrent_calls"), (True, "streams")])
def test_calls_and_streams_have_separate_limits(stream: bool, limit: str) -> None:
    limiter = limits_with(Clock(), calls=2, streams=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.callback(limiter.admit("a", stream=stream))
        assert refused(limiter, stream=stream).metadata == {"limit": limit}
        call(limiter, stream=not stream)
        call(limiter, "b", stream=stream)
    call(limiter, stream=stream)


def test_usage_is_bounded_and_keeps_callers_with_calls_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 10)
    limiter = limits_with(Clock(), calls=1)
    limiter.admit("busy", stream=False)
    for number in range(100):
        call(limiter, str(number))
    assert len(limiter._usages) <= 12
    refused(limiter, "busy")
