"""The token bucket of rate limits, log lines and samples."""

from __future__ import annotations

import pytest

from taskgate_server.token_bucket import TokenBucket


def test_burst_is_the_tokens_of_a_second_and_refills() -> None:
    now = [100.0]
    bucket = TokenBucket(4.0, lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 0, pytest.approx(0.25)]
    now[0] += 0.5
    assert [bucket.take() for _ in range(3)] == [0, 0, pytest.approx(0.25)]
    now[0] += 60
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 0, pytest.approx(0.25)]


def test_slow_bucket_has_one_token() -> None:
    now = [0.0]
    bucket = TokenBucket(0.1, lambda: now[0])
    assert [bucket.take() for _ in range(2)] == [0, pytest.approx(10)]
    now[0] += 10
    assert bucket.take() == 0


def test_debt_is_settled_before_there_is_a_token() -> None:
    now = [0.0]
    bucket = TokenBucket(10.0, lambda: now[0])
    bucket.spend(30)
    assert bucket.seconds_until(0) == pytest.approx(2)
    assert bucket.take() == pytest.approx(2.1)
    now[0] += 2.5
    assert bucket.seconds_until(0) == 0
    assert bucket.take() == 0
