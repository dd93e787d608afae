"""What one caller may have going on, by a clock that the tests turn."""

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


def refused(fair: CallerLimits, caller: str = "a", *, stream: bool = False) -> errors.TaskgateError:
    with pytest.raises(errors.TaskgateError) as caught:
        fair.admit(caller, stream=stream)
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    return caught.value


def call(fair: CallerLimits, caller: str = "a", times: int = 1, *, stream: bool = False) -> None:
    for _ in range(times):
        fair.admit(caller, stream=stream)()


def test_requests_that_are_too_large_together_are_refused_with_the_time_to_ask_again() -> None:
    clock = Clock()
    fair = limits_with(clock)
    call(fair)
    fair.count_bytes("a", 900)
    call(fair)
    fair.count_bytes("a", 600)
    error = refused(fair)
    assert error.metadata["limit"] == "request_bytes_per_second"
    (detail,) = error.details
    assert isinstance(detail, error_details_pb2.RetryInfo)
    assert detail.retry_delay.ToTimedelta().total_seconds() == pytest.approx(0.5)
    call(fair, "b")
    clock.now += 0.5
    call(fair)


def test_a_flood_is_refused_with_the_time_to_ask_again() -> None:
    clock = Clock()
    fair = limits_with(clock, rate=4)
    call(fair, times=4)
    (detail,) = refused(fair).details
    assert isinstance(detail, error_details_pb2.RetryInfo)
    assert detail.retry_delay.ToTimedelta().total_seconds() == pytest.approx(0.25)
    clock.now += 0.25
    call(fair)
    refused(fair)


def test_refusals_are_held_back_from_a_caller_that_ignores_them() -> None:
    clock = Clock()
    fair = limits_with(clock, rate=1)
    call(fair)
    for _ in range(100):
        refused(fair)
        assert fair.hold_seconds("a") == 0
    refused(fair)
    assert fair.hold_seconds("a") == 0.05
    for _ in range(900):
        refused(fair)
    assert fair.hold_seconds("a") == 0.5
    clock.now += 3
    call(fair)
    refused(fair)
    assert fair.hold_seconds("a") == 0
    assert fair.hold_seconds("b") == 0


def test_further_messages_of_a_stream_count_as_calls() -> None:
    clock = Clock()
    fair = limits_with(clock, rate=2)
    fair.admit("a", stream=True)
    assert fair.admit_message("a") == 0
    assert fair.admit_message("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert fair.admit_message("a") == 0


def test_others_are_left_alone() -> None:
    fair = limits_with(Clock(), rate=1)
    call(fair, "a")
    refused(fair, "a")
    call(fair, "b")


def test_less_than_one_call_a_second_can_be_made() -> None:
    clock = Clock()
    fair = limits_with(clock, rate=0.1)
    call(fair)
    clock.now += 9
    refused(fair)
    clock.now += 1
    call(fair)


@pytest.mark.parametrize(("stream", "limit"), [(False, "concurrent_calls"), (True, "streams")])
def test_calls_and_streams_have_room_of_their_own(stream: bool, limit: str) -> None:
    fair = limits_with(Clock(), calls=2, streams=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.callback(fair.admit("a", stream=stream))
        assert refused(fair, stream=stream).metadata == {"limit": limit}
        call(fair, stream=not stream)
        call(fair, "b", stream=stream)
    call(fair, stream=stream)


def test_memory_is_bounded_and_who_has_something_going_on_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 10)
    fair = limits_with(Clock(), calls=1)
    fair.admit("busy", stream=False)
    for number in range(100):
        call(fair, str(number))
    assert len(fair._usages) <= 12
    refused(fair, "busy")
