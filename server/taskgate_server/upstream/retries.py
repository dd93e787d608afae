"""Which failed calls are sent again, when, and how many of them in all.

is_retryable   which errors may pass by themselves
RetryBudget    how many retries a service gets, so that an outage is not made worse
Retries        the loop
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias, TypeVar

from google.rpc import error_details_pb2

from taskgate_server.errors import ResponseCutError, Retry, TaskgateError, UnreachableError

T = TypeVar("T")
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


OWN_RETRYABLE: Final = (UnreachableError, ResponseCutError)
"""Taskgate's own errors after which repeatable calls are sent again. Its refusals are the caller's
to repeat, after their RetryInfo."""


def is_throttle(error: TaskgateError) -> bool:
    """Return whether AWS throttled the call, as opposed to Taskgate's own refusal to send it."""
    return error.retry is Retry.THROTTLE


def is_retryable(error: TaskgateError, *, repeatable: bool) -> bool:
    """Return whether the call that failed may be sent again.

    Args:
        error: what it failed with; `error_rules` classifies AWS's.
        repeatable: whether executing it twice is as good as once: a read, or a write with an
            idempotency token.
    """
    if isinstance(error, OWN_RETRYABLE):
        return repeatable
    return is_throttle(error) or (error.retry is Retry.REPEATABLE and repeatable)


def told_delay(error: TaskgateError) -> float:
    """The seconds of the error's RetryInfo, 0 without one."""
    for detail in error.details:
        if isinstance(detail, error_details_pb2.RetryInfo):
            return float(detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9)
    return 0.0


class RetryBudget:
    """How many retries may be made: a part of all calls, plus a few for quiet times.

    Without it an outage multiplies the load by the number of tries, just when AWS has least room.
    Finagle gives 20 % and 10 a second, gRPC's retryThrottling 10 % in its examples (gRFC A6).

    Args:
        share: retries for each call.
        per_second: retries besides.
        capacity: retries that can be saved up.
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
        """A call is made."""
        self._save(min(self.left + self._share, self._capacity))

    def withdraw(self) -> bool:
        """Takes a retry, if there is one left."""
        left = self.left
        self._save(left - 1 if left >= 1 else left)
        return left >= 1

    def _save(self, tokens: float) -> None:
        self._saved, self._saved_at = tokens, self._clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before the next try."""

    max_attempts: int = 4
    first_seconds: float = 0.1
    """The most before the second try; it doubles with each."""
    max_seconds: float = 5.0

    def pause(self, attempt: int, floor: float, random: Random) -> float:
        """Seconds after try number `attempt`, from 1.

        Full jitter: anything from none to the most, which spreads callers best
        (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); on top of the
        wait that AWS asks for, before which nothing is sent.
        """
        return floor + random.uniform(
            0, min(self.first_seconds * 2.0 ** (attempt - 1), self.max_seconds)
        )


class Retries:
    """The retries of one AWS service.

    Args:
        budget: shared by all calls of the service.
        backoff: how long to wait.
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
        self.made = 0
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
        """The result of the first try that succeeds.

        Args:
            attempt: makes try number n, from 1.
            repeatable: see `is_retryable`.
            give_up_at: returns when the last one that waits gives up, by the clock. No try begins
                then or later; inf for no limit. It may grow between tries.

        Raises:
            errors.TaskgateError: the last try's, at once when no other can be made in time.
            Exception: any other error of a try.
        """
        self.budget.deposit()
        number = 1
        while True:
            try:
                return await attempt(number)
            except TaskgateError as error:
                pause = self._pause(error, number, repeatable=repeatable)
                if pause is None or self._clock() + pause >= give_up_at():
                    raise
                if not self.budget.withdraw():
                    raise
            await self._sleep(pause)
            number += 1
            self.made += 1

    def again_together(self, failed: Sequence[tuple[TaskgateError, int]]) -> list[float | None]:
        """Seconds until reads that failed alone in a call of many are made again, together.

        Those that may be, which is one call and so one retry, all have the same pause; the others
        have None.

        Args:
            failed: what became of each, and the number of its try, from 1.
        """
        pauses = [self._pause(error, number, repeatable=True) for error, number in failed]
        longest = max((pause for pause in pauses if pause is not None), default=None)
        if longest is None or not self.budget.withdraw():
            return [None] * len(failed)
        self.made += 1
        return [None if pause is None else longest for pause in pauses]

    def _pause(self, error: TaskgateError, number: int, *, repeatable: bool) -> float | None:
        """Seconds until the next try; None if there is to be none."""
        if number >= self._backoff.max_attempts or not is_retryable(error, repeatable=repeatable):
            return None
        return self._backoff.pause(number, told_delay(error), self._random)
