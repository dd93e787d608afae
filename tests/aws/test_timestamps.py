"""AWS's timestamps, exactly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.aws.timestamps import to_datetime, to_seconds_and_nanos


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", (0, 0)),
        ("2026-11-22T10:11:12Z", (1795342272, 0)),
        ("2026-11-22T10:11:12.5Z", (1795342272, 500_000_000)),
        ("2026-11-22T10:11:12.123456789Z", (1795342272, 123_456_789)),
        ("2026-11-22t10:11:12.000000001z", (1795342272, 1)),
        ("2026-11-22T12:11:12+02:00", (1795342272, 0)),
        ("1969-12-31T23:59:59.25Z", (-1, 250_000_000)),
        ("0001-01-01T00:00:00Z", (-62135596800, 0)),
        ("9999-12-31T23:59:59.999999999Z", (253402300799, 999_999_999)),
        (1795342272, (1795342272, 0)),
        (1795342272.25, (1795342272, 250_000_000)),
        (-0.5, (-1, 500_000_000)),
        ("Sun, 22 Nov 2026 10:11:12 GMT", (1795342272, 0)),
    ],
)
def test_every_format_of_aws(text: str | float, expected: tuple[int, int]) -> None:
    assert to_seconds_and_nanos(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", float("nan"), float("inf")])
def test_invalid_timestamps_are_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_seconds_and_nanos(text)


YEAR_1000 = datetime(1000, 1, 1)  # noqa: DTZ001  # hypothesis adds the zone


@given(st.datetimes(min_value=YEAR_1000, timezones=st.just(UTC)))
def test_round_trip(moment: datetime) -> None:
    assert to_datetime(*to_seconds_and_nanos(moment.isoformat())) == moment


def test_timestamps_that_boto3_cannot_send_are_refused() -> None:
    with pytest.raises(ValueError, match="microsecond"):
        to_datetime(0, 1)
    with pytest.raises(ValueError, match="years"):
        to_datetime(10**12, 0)
    with pytest.raises(ValueError, match="years"):
        to_datetime(-62135596800, 0)
