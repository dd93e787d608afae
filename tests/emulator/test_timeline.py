from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskgate_emulator import ManualClock
from taskgate_emulator.core.timeline import CHANGE_TIME, Change, planned

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_plan_is_ordered_and_has_the_times_of_its_changes() -> None:
    plan: list[tuple[float, dict[str, Any]]] = [
        (20, {"status": "DONE", "ended": CHANGE_TIME, "worker": None}),
        (10, {"status": "RUNNING", "worker": "w"}),
    ]
    assert planned(START, 1.0, plan) == (
        Change(after(10), {"status": "RUNNING", "worker": "w"}),
        Change(after(20), {"status": "DONE", "ended": after(20), "worker": None}),
    )


def test_speed_does_not_apply_to_the_past() -> None:
    changes = planned(START, 10.0, [(-50, {}), (0, {}), (50, {})])
    assert [change.at for change in changes] == [after(-50), START, after(5)]


def test_manual_clock_only_goes_forward() -> None:
    clock = ManualClock(START)
    clock.advance(1.5)
    assert clock() == after(1.5)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 the clock must refuse it
