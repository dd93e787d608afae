"""Which failed calls are retried, when, and how many of them in all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias, TypeVar

from google.rpc import error_details_pb2

from taskgate_server.errors import ResponseTruncatedError, Retry, TaskgateError, UnreachableError

T = TypeVar("T")
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


OWN_RETRYABLE: Final = (UnreachableError, ResponseTruncatedError)
"""Taskgate's own errors after which repeatable calls are retried. Its refusals are retried by
callers, after their RetryInfo."""


def is_throttle(error: TaskgateError) -> bool:
    """Return whether AWS throttled the call, as opposed to Taskgate's refusal to send it."""
    return error.retry is Retry.THROTTLE


def is_retryable(error: TaskgateError, *, repeatable: bool) -> bool:
    """Return whether a failed call may be retried.

    Args:
        error: of the call; `error_rules` classifies AWS's errors.
        repeatable: whether AWS may execute the call twice: a read, or a write with an idempotency
            token.
    """
    if isinstance(error, OWN_RETRYABLE):
        return repeatable
    return is_throttle(error) or (error.retry is Retry.REPEATABLE and repeatable)


def retry_info_seconds(error: TaskgateError) -> float:
    """Return the seconds of the error's RetryInfo, 0 without one."""
    for detail in error.details:
        if isinstance(detail, error_details_pb2.RetryInfo):
            return float(detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9)
    return 0.0


class RetryBudget:
    """Bounds retries to a fraction of all calls, plus a few at low load.

    Without it an outage multiplies the load by the number of attempts, when AWS can least handle
    it. Finagle allows 20 % and 10 a second, gRPC's retryThrottling 10 % in its examples (gRFC A6).

    Args:
        share: retries per call.
        per_second: additional retries.
        capacity: maximum number of saved retries.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        per_second: float = 1.0,
        capacity: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._per_second = per_second
        self._capacity = capacity
        self._clock = clock
        self._saved = capacity
        self._saved_at = clock()

    @property
    def left(self) -> float:
        """Retries that may be made now."""
        earned = (self._clock() - self._saved_at) * self._per_second
        return min(self._saved + earned, self._capacity)

    def deposit(self) -> None:
        """Add the share of one call."""
        self._saved, self._saved_at = self.left + self._share, self._clock()

    def withdraw(self) -> bool:
        """Take a retry if one is left; return whether it was taken."""
        left = self.left
        if left >= 1:
            self._saved, self._saved_at = left - 1, self._clock()
        return left >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The pauses between attempts."""

    max_attempts: int = 4
    first_seconds: float = 0.1
    """Maximum pause before the second attempt; it doubles with each."""
    max_seconds: float = 5.0

    def pause(self, attempt: int, floor: float, random: Random) -> float:
        """Return the seconds to wait after attempt number `attempt`, from 1.

        Full jitter, which spreads callers best
        (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), is added to the
        pause that AWS requests.
        """
        return floor + random.uniform(
            0, min(self.first_seconds * 2.0 ** (attempt - 1), self.max_seconds)
        )


class Retries:
    """The retries of one AWS service.

    Args:
        budget: shared by all calls of the service.
        backoff: pauses between attempts.
        clock: monotonic seconds, the same as that of `give_up_at`.
        sleep: waits for seconds.
        random: for jitter.
    """

    def __init__(
        self,
        budget: RetryBudget,
        backoff: Backoff | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self.budget = budget
        self.count = 0
        """Retries so far, for metrics."""
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311  # jitter is no secret

    async def run(
        self,
        attempt: Callable[[int], Awaitable[T]],
        *,
        repeatable: bool,
        give_up_at: Callable[[], float],
    ) -> T:
        """Return the result of the first attempt that succeeds.

        Args:
            attempt: makes attempt number n, from 1.
            repeatable: see `is_retryable`.
            give_up_at: returns when the last requester gives up, by the clock; inf for never. No
                attempt starts then or later. The value may grow between attempts.

        Raises:
            errors.TaskgateError: of the last attempt, at once if no other can be made in time.
            Exception: any other error of an attempt.
        """
        self.budget.deposit()
        number = 1
        while True:
            try:
                return await attempt(number)
            except TaskgateError as error:
                pause = self._pause(error, number, repeatable=repeatable)
                is_in_time = pause is not None and self._clock() + pause < give_up_at()
                if pause is None or not is_in_time or not self.budget.withdraw():
                    raise
            await self._sleep(pause)
            number += 1
            self.count += 1

    def batch_pause(
        self, outcomes: Sequence[object], attempts: Sequence[int]
    ) -> tuple[float, list[bool]]:
        """Return the pause before reads that failed within a batch are retried, and which are.

        They have the same pause, since they share one call and use one retry of the budget.

        Args:
            outcomes: of each read.
            attempts: the number of each read's attempt, from 1.
        """
        pauses = [
            self._pause(outcome, number, repeatable=True)
            if isinstance(outcome, TaskgateError)
            else None
            for outcome, number in zip(outcomes, attempts, strict=True)
        ]
        longest = max((pause for pause in pauses if pause is not None), default=None)
        if longest is None or not self.budget.withdraw():
            return 0.0, [False] * len(pauses)
        self.count += 1
        return longest, [pause is not None for pause in pauses]

    def _pause(self, error: TaskgateError, number: int, *, repeatable: bool) -> float | None:
        """Return the seconds until the next attempt; None if there is none."""
        if number >= self._backoff.max_attempts or not is_retryable(error, repeatable=repeatable):
            return None
        return self._backoff.pause(number, retry_info_seconds(error), self._random)
