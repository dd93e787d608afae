from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_emulator import ManualClock
from taskgate_emulator.core.timeline import CHANGE_TIME, Timeline, planned

START = datetime(2026, 1, 1, tzinfo=UTC)
PLANS = st.lists(
    st.tuples(
        st.floats(-1_000, 1_000),
        st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.integers())),
    ),
    max_size=6,
)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_changes_come_at_their_moments() -> None:
    plan: list[tuple[float, dict[str, Any]]] = [
        (20, {"status": "DONE", "ended": CHANGE_TIME, "worker": None}),
        (10, {"status": "RUNNING", "worker": "w"}),
    ]
    timeline = Timeline({"status": "READY", "id": 1}, planned(START, 1.0, plan))
    assert timeline.at(after(9.999)) == {"status": "READY", "id": 1}
    assert timeline.at(after(10)) == {"status": "RUNNING", "id": 1, "worker": "w"}
    assert timeline.at(after(99)) == {
        "status": "DONE",
        "id": 1,
        "worker": None,
        "ended": after(20),
    }


def test_speed_shortens_the_future_and_not_the_past() -> None:
    changes = planned(START, 10.0, [(-50, {}), (0, {}), (50, {})])
    assert [change.at for change in changes] == [after(-50), START, after(5)]


@given(PLANS, st.floats(-1_100, 1_100))
def test_one_member_is_what_the_whole_record_says(plan: Any, seconds: float) -> None:
    timeline = Timeline({"a": 0}, planned(START, 1.0, plan))
    for member in "abc":
        assert timeline.value(member, after(seconds)) == timeline.at(after(seconds)).get(member)


def test_manual_clock_only_goes_forward() -> None:
    clock = ManualClock(START)
    clock.advance(1.5)
    assert clock() == after(1.5)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 the clock must refuse it
