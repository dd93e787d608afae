"""Credentials that are renewed beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import Credentials, RefreshableCredentials

from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.upstream.aws_client.credentials import (
    MANDATORY_SECONDS,
    PAUSE_SECONDS,
    HeldCredentials,
)

HOUR = 3600.0
SOON = MANDATORY_SECONDS + 60.0
"""Late enough for calls to continue, early enough to renew."""


class Source:
    """Temporary credentials: the times of their ends, and a renewal that the test lets go."""

    def __init__(self, lasts: float) -> None:
        self.renewed = 0
        self.fails = False
        self.go = threading.Event()
        self.go.set()
        self.now = 100.0
        self.credentials = RefreshableCredentials(
            "key-0", "secret", "token", _in(lasts), self._renew, "test"
        )

    def clock(self) -> float:
        return self.now

    def hold(self) -> HeldCredentials:
        return HeldCredentials(self.credentials, DaemonThreads("test"), self.clock)

    def _renew(self) -> dict[str, Any]:
        assert threading.current_thread() is not threading.main_thread()
        assert self.go.wait(10)
        self.renewed += 1
        if self.fails:
            raise ValueError("no answer")
        return {
            "access_key": f"key-{self.renewed}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": _in(HOUR).isoformat(),
        }

    def expire(self, lasts: float) -> None:
        self.credentials.__dict__["_expiry_time"] = _in(lasts)  # no public way


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def key(held: HeldCredentials) -> str | None:
    return held.get_frozen_credentials().access_key


async def settled(held: HeldCredentials) -> None:
    """Wait for the renewal in progress."""
    if held._renewal is not None:
        await asyncio.wait([held._renewal])


async def test_permanent_credentials_are_read_once() -> None:
    held = HeldCredentials(Credentials("key", "secret", account_id="123"), DaemonThreads("test"))
    await held.renew()
    assert key(held) == "key"
    assert held.account_id == "123"


async def test_credentials_that_last_are_not_renewed() -> None:
    source = Source(HOUR)
    held = source.hold()
    await held.renew()
    assert source.renewed == 0
    assert key(held) == "key-0"


async def test_calls_continue_while_credentials_are_renewed() -> None:
    source = Source(HOUR)
    held = source.hold()
    source.expire(SOON)
    source.go.clear()
    await asyncio.wait_for(asyncio.gather(*(held.renew() for _ in range(10))), 5)
    assert key(held) == "key-0"
    source.go.set()
    await settled(held)
    assert key(held) == "key-1"
    assert source.renewed == 1


async def test_calls_wait_for_credentials_that_are_about_to_expire() -> None:
    source = Source(HOUR)
    held = source.hold()
    source.expire(MANDATORY_SECONDS - 60.0)
    await asyncio.gather(*(held.renew() for _ in range(10)))
    assert key(held) == "key-1"
    assert source.renewed == 1


async def test_a_cancelled_call_does_not_stop_the_renewal() -> None:
    source = Source(HOUR)
    held = source.hold()
    source.expire(1.0)
    source.go.clear()
    first, second = (asyncio.create_task(held.renew()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    source.go.set()
    await second
    assert key(held) == "key-1"


async def test_failed_renewals_pause_while_the_credentials_are_valid() -> None:
    source = Source(HOUR)
    held = source.hold()
    source.expire(SOON)
    source.fails = True
    for _ in range(3):
        await held.renew()
        await settled(held)
    assert source.renewed == 1
    assert key(held) == "key-0"
    source.now += PAUSE_SECONDS
    await held.renew()
    await settled(held)
    assert source.renewed == 2


async def test_calls_fail_when_credentials_that_expire_cannot_be_renewed() -> None:
    source = Source(HOUR)
    held = source.hold()
    source.expire(1.0)
    source.fails = True
    for _ in range(2):
        with pytest.raises(ValueError, match="no answer"):
            await held.renew()
    assert source.renewed == 2
