"""The only door to AWS: `Gateway.call`, for the AWS RPCs and the unified tasks alike.

In are boto3's parameters, out is AWS's JSON: plain dicts. An answer is never older than its caller
allows, counted from the moment the request arrived; that one rule decides what is shared. The way
of a read is `_read` and `_fly`: kept answers, calls in the air, batches, then `paced`.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.batched import Batches
from taskgate_server.upstream.batched_writes import BatchedWrites, Writes
from taskgate_server.upstream.body import Body
from taskgate_server.upstream.cache import AnswerCache, Entry
from taskgate_server.upstream.paced import Asker, PacedSender
from taskgate_server.upstream.ratelimit import Priority
from taskgate_server.upstream.sender import Answer
from taskgate_server.upstream.singleflight import Flight, Flights
from taskgate_server.upstream.writes import WriteLog

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.plans import OperationPlan

Params: TypeAlias = Mapping[str, Any]
Outcome: TypeAlias = Answer | errors.TaskgateError
"""What is kept: an answer, or the news that there is no such thing."""

ERROR_BYTES = 1024
"""What a kept error is counted as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How much is shared between callers, and kept for them."""

    default_max_age: float
    """Seconds that an answer may be old when the caller does not say."""
    longest_max_age: float
    """Seconds after which no answer is kept."""
    max_entries: int
    max_bytes: int
    batch_slots: int
    """Batches of one operation in flight."""
    batch_linger: float
    """Seconds that a batch waits for more under load."""


class Gateway:
    """The door to one AWS service."""

    def __init__(
        self,
        paced: PacedSender,
        sharing: Sharing,
        *,
        default_time_limit: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        sender = paced.sender
        self.connection = sender.connection
        self.spec = sender.connection.spec
        self.executor = sender.executor
        self.paced = paced
        self._sender = sender
        self._sharing = sharing
        self._default_time_limit = default_time_limit
        self._clock = clock
        self._plans: dict[str, OperationPlan] = {}
        self._kept: AnswerCache[Outcome] = AnswerCache(
            max_entries=sharing.max_entries,
            max_bytes=sharing.max_bytes,
            max_age=sharing.longest_max_age,
        )
        self._flights: Flights[Outcome] = Flights()
        self._writes = WriteLog(sharing.longest_max_age)
        self._batches = Batches(
            paced,
            slots=sharing.batch_slots,
            linger=sharing.batch_linger,
            clock=clock,
            sleep=sleep,
        )
        self._batched_writes = BatchedWrites(paced, clock)

    async def call(
        self,
        operation: str,
        params: Params,
        *,
        time_limit: float | None,
        max_age: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Answer:
        """Calls an operation by its AWS name, or shares somebody else's call.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them, already checked against the model.
            time_limit: seconds that the caller waits; None for the server's default, inf for none.
            max_age: seconds that the answer may be old now; None for the server's default. Writes
                are always sent.
            priority: who goes first where AWS's quota makes calls wait.

        Raises:
            errors.TaskgateError: whatever went wrong, see `errors`.
        """
        arrived = self._clock()
        limit = self._default_time_limit if time_limit is None else time_limit
        try:
            async with asyncio.timeout(None if limit == math.inf else limit):
                plan = self._plan(operation)
                give_up_at = arrived + limit
                if not plan.is_shared:
                    return await self._send(operation, params, plan, give_up_at, priority)
                age = self._sharing.default_max_age if max_age is None else max_age
                outcome = await self._read(
                    operation, params, plan, arrived - age, give_up_at, priority
                )
        except TimeoutError:
            raise errors.time_limit_exceeded(self._sender.origin(operation), limit) from None
        if isinstance(outcome, errors.TaskgateError):
            raise replace(outcome)  # a copy: each caller's error gets a traceback of its own
        return outcome

    async def write_many(
        self, operation: str, items: Sequence[Params], *, token: str, time_limit: float | None
    ) -> list[errors.TaskgateError | None]:
        """Calls an operation that writes one thing for many of them, in batches where AWS has some.

        Args:
            operation: such as `UpdateTask`.
            items: the parameters for each, without a token.
            token: makes it safe to send all of them again.
            time_limit: see `call`.

        Returns:
            For each item None, or the error that the call for it alone would have raised.
        """
        limit = self._default_time_limit if time_limit is None else time_limit
        plan = self._plan(operation)

        def written(item: Params) -> None:
            self._writes.note(plan.resource(item), self._clock())

        writes = Writes(
            operation=operation,
            items=items,
            token=token,
            give_up_at=self._clock() + limit,
            written=written,
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(None if limit == math.inf else limit):
                await self._batched_writes.send(writes, plan)
        return writes.outcomes(errors.time_limit_exceeded(self._sender.origin(operation), limit))

    @property
    def obstacle(self) -> str | None:
        """Why AWS cannot be asked at present, for a person; None when it can."""
        if self.connection.client is None:
            error = self.connection.error
            return error.message if error is not None else "the server is still starting"
        seconds = self.paced.breaker.refuses_for()
        return f"it failed too often; asked again in {seconds:.1f} s" if seconds else None

    async def close(self) -> None:
        """Ends what is in the air. Call it when no caller waits any more."""
        await self._flights.close()
        await self._batches.close()

    def body(self, operation: str, stream: Any) -> Body:
        """The streamed member of an answer, to be read."""
        return Body(stream, self.executor, self._sender.origin(operation))

    async def _read(
        self,
        operation: str,
        params: Params,
        plan: OperationPlan,
        oldest: float,
        give_up_at: float,
        priority: Priority,
    ) -> Outcome:
        """An answer whose call was sent at `oldest` or later, and after the last write."""
        # After the write, not at the same reading of the clock.
        written = math.nextafter(self._writes.latest(plan.resource(params)), math.inf)
        not_before = max(oldest, written)
        key = (operation, _canonical(params))
        kept = self._kept.get(key, not_before)
        if kept is not None:
            return kept.value
        return await self._flights.join(
            key, not_before, partial(self._fly, operation, params, plan), give_up_at, priority
        )

    async def _fly(
        self, operation: str, params: Params, plan: OperationPlan, flight: Flight[Outcome]
    ) -> Outcome:
        """Asks AWS, in a batch where there is one, and keeps what is worth keeping."""

        def leaving() -> None:
            flight.sent_at = self._clock()

        asker = Asker(
            leaving=leaving,
            give_up_at=lambda: flight.give_up_at,
            priority=lambda: flight.priority,
        )
        outcome: Outcome
        try:
            if plan.batch is not None:
                outcome = await self._batches.ask(operation, params, plan.batch, asker)
            else:
                outcome = await self.paced.send(operation, params, asker, repeatable=True)
        except errors.TaskgateError as error:
            # That there is no such thing is an answer; throttles and failures are not kept.
            if error.code is not StatusCode.NOT_FOUND:
                raise
            outcome = error.with_traceback(None)
        if flight.sent_at is not None:
            size = outcome.size if isinstance(outcome, Answer) else ERROR_BYTES
            self._kept.put(flight.key, Entry(outcome, flight.sent_at, size), self._clock())
        return outcome

    async def _send(
        self,
        operation: str,
        params: Params,
        plan: OperationPlan,
        give_up_at: float,
        priority: Priority,
    ) -> Answer:
        """Sends a write, or a read that is not shared.

        What was read of a write's resource before it ended is too old from then on.
        """
        resource = plan.resource(params)

        def ended() -> None:
            if not plan.is_read:
                self._writes.note(resource, self._clock())

        token = plan.token
        if token is not None and token not in params:
            # boto3 would make a new one at each attempt, and AWS would do the same thing twice.
            params = {**params, token: str(uuid.uuid4())}
        return await self.paced.send(
            operation,
            params,
            Asker(give_up_at=lambda: give_up_at, priority=lambda: priority),
            repeatable=plan.is_read or token is not None,
            ended=ended,
        )

    def _plan(self, operation: str) -> OperationPlan:
        plan = self._plans.get(operation)
        if plan is None:
            from taskgate_server.upstream.plans import plan_operation  # noqa: PLC0415  # see above

            plan = self._plans[operation] = plan_operation(self.spec, operation)
        return plan


def _canonical(params: Params) -> Hashable:
    """The parameters as a key: equal for equal ones, whatever their order."""
    try:
        key = frozenset(params.items())
        hash(key)
    except TypeError:  # a list or a structure in it
        return json.dumps(params, sort_keys=True, default=repr)
    return key
