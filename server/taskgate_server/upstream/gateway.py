"""The only door to AWS: `Gateway.call`, for the AWS RPCs and the unified tasks alike.

In are boto3's parameters, out is AWS's JSON: plain dicts. An answer is never older than its caller
allows, counted from the moment the request arrived; that one rule decides what is shared. The way
of a read is `ask` and `_launch`: kept answers, calls in the air, batches, then `paced`.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.batched import Batches
from taskgate_server.upstream.batched_writes import BatchedWrites, Writes
from taskgate_server.upstream.body import Body
from taskgate_server.upstream.cache import AnswerCache, Entry
from taskgate_server.upstream.listed import ListPlan, Lists, is_refusal
from taskgate_server.upstream.obstacles import obstacle
from taskgate_server.upstream.paced import PacedSender, SoleAsker
from taskgate_server.upstream.question import (
    Outcome,
    Params,
    Question,
    Read,
    make_question,
    question_key,
)
from taskgate_server.upstream.ratelimit import Priority
from taskgate_server.upstream.sender import Answer
from taskgate_server.upstream.singleflight import Flight, Flights
from taskgate_server.upstream.writes import WriteLog

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.plans import OperationPlan

ROW = "row"
"""In the place of the operation in the key of a kept row: it has less to tell than an answer."""

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
        self.cache: AnswerCache[Outcome] = AnswerCache(
            max_entries=sharing.max_entries,
            max_bytes=sharing.max_bytes,
            max_age=sharing.longest_max_age,
        )
        self.flights: Flights[Question, Answer] = Flights()
        self._writes = WriteLog(sharing.longest_max_age)
        self.lists = Lists(paced)
        self.batches = Batches(
            paced,
            slots=sharing.batch_slots,
            linger=sharing.batch_linger,
            clock=clock,
            sleep=sleep,
        )
        self._batched_writes = BatchedWrites(paced, clock)
        self.sent_singly = 0  # shared reads that left as they are, for metrics

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
        question = self.question(operation, params)
        return await self.ask(question, time_limit=time_limit, max_age=max_age, priority=priority)

    def question(self, operation: str, params: Params) -> Question:
        """A call in the form that `ask` and `kept` take, to be used again for the same call."""
        return make_question(operation, params, self._plan(operation))

    def kept(self, question: Question, max_age: float | None) -> Answer | None:
        """What is known without asking AWS: for a caller that has no time to wait for anything.

        Raises:
            errors.TaskgateError: NOT_FOUND, that there is no such thing is what is known.
        """
        if not question.plan.is_shared:
            return None
        kept = self.cache.get(question.key, self._not_before(question, max_age))
        return _told(kept.value) if kept is not None else None

    async def ask(
        self,
        question: Question,
        *,
        time_limit: float | None,
        max_age: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        fields: frozenset[str] | None = None,
    ) -> Answer:
        """Like `call`.

        Args:
            question: what to ask.
            time_limit: see `call`.
            max_age: see `call`.
            priority: see `call`.
            fields: those of the response that the caller needs, so that the row of a list may be
                the answer; None for all.
        """
        limit = self._default_time_limit if time_limit is None else time_limit
        give_up_at = self._clock() + limit
        try:
            if not question.plan.is_shared:
                async with asyncio.timeout(None if limit == math.inf else limit):
                    return await self._send(question, SoleAsker(give_up_at, priority))
            not_before = self._not_before(question, max_age)
            kept = self.cache.get(question.key, not_before)
            if kept is not None:
                return _told(kept.value)
            listing = question.plan.listing
            if fields is not None and listing is not None and fields <= listing.fields:
                row = await self._from_list(question, listing, not_before, give_up_at, priority)
                if row is not None:
                    return row
                limit = give_up_at - self._clock()
                with self.lists.reading_singly(listing.key(question.params)):
                    return await self._join(question, not_before, give_up_at, limit, priority)
            return await self._join(question, not_before, give_up_at, limit, priority)
        except TimeoutError:
            origin = self._sender.origin(question.operation)
            raise errors.time_limit_exceeded(origin, limit) from None

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
        return obstacle(self.connection, self.paced)

    async def close(self) -> None:
        """Ends what is in the air. Call it when no caller waits any more."""
        await self.flights.close()
        await self.batches.close()

    def body(self, operation: str, stream: Any) -> Body:
        """The streamed member of an answer, to be read."""
        return Body(stream, self.executor, self._sender.origin(operation))

    async def _join(
        self,
        question: Question,
        not_before: float,
        give_up_at: float,
        limit: float,
        priority: Priority,
    ) -> Answer:
        """A call of the operation itself: one in the air, or a new one."""
        read = self.flights.join(question.key, not_before) or self._launch(question)
        return _told(await read.wait(give_up_at, limit, priority))

    async def _from_list(
        self,
        question: Question,
        listing: ListPlan,
        not_before: float,
        give_up_at: float,
        priority: Priority,
    ) -> Answer | None:
        """The row of the list that has it; None where a single call is cheaper, or must decide."""
        row = question_key(ROW, question.params)
        kept = self.cache.get(row, not_before)
        if kept is not None:
            return _told(kept.value)
        key = listing.key(question.params)
        read = self.flights.find(key, not_before)
        if read is None:
            if self.flights.find(question.key, not_before) or not self.lists.is_cheaper(key):
                return None
            read = self._launch_list(question, key, listing)
        outcome = await read.wait(give_up_at, give_up_at - self._clock(), priority)
        if isinstance(outcome, errors.TaskgateError) and is_refusal(outcome):
            return None
        answer = _told(outcome)
        kept = self.cache.get(row, not_before)
        if kept is not None:
            return _told(kept.value)
        told = answer.value.get(question.params[listing.item])
        return None if told is None else _row_answer(answer, told)

    def _launch_list(self, question: Question, key: Hashable, listing: ListPlan) -> Read:
        read: Read = Flight(
            key, question, self._clock, lambda read, _: self.flights.land(read), self.flights.land
        )
        self.flights.launch(read)
        self.flights.run(read, asyncio.ensure_future(self._fly_list(read, listing)))
        return read

    async def _fly_list(self, read: Read, listing: ListPlan) -> None:
        outcome: Answer | Exception
        try:
            outcome = await self.lists.read(read, listing)
            self._keep_rows(read, listing, outcome)
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait are told
            outcome = error
        read.settle(outcome)

    def _keep_rows(self, read: Read, listing: ListPlan, answer: Answer) -> None:
        if read.sent_at is None:
            return
        parent = listing.parent(read.question.params)
        for item, row in answer.value.items():
            told = _row_answer(answer, row)
            key = question_key(ROW, {**parent, listing.item: item})
            self.cache.put(key, Entry(told, read.sent_at, told.size), self._clock())

    def _not_before(self, question: Question, max_age: float | None) -> float:
        """When an answer must have been sent: late enough, and after the last write."""
        age = self._sharing.default_max_age if max_age is None else max_age
        # After the write, not at the same reading of the clock.
        written = math.nextafter(self._writes.latest(question.resource), math.inf)
        return max(self._clock() - age, written)

    def _launch(self, question: Question) -> Read:
        """Asks AWS, in a batch where there is one."""
        read: Read = Flight(question.key, question, self._clock, self._landed, self.flights.land)
        self.flights.launch(read)
        batch = question.plan.batch
        if batch is not None and self.batches.can_take(question):
            self.batches.put(read, batch)
        else:
            self.flights.run(read, asyncio.ensure_future(self._fly(read)))
        return read

    async def _fly(self, read: Read) -> None:
        outcome: Answer | Exception
        try:
            question = read.question
            self.sent_singly += 1
            outcome = await self.paced.send(
                question.operation, question.params, read, repeatable=True
            )
        except asyncio.CancelledError:
            self.flights.land(read)
            raise
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait are told
            outcome = error
        read.settle(outcome)

    def _landed(self, read: Read, outcome: Answer | Exception) -> None:
        """Keeps what is worth keeping of a call that has ended."""
        self.flights.land(read)
        if read.sent_at is None:
            return
        if isinstance(outcome, Answer):
            self.cache.put(read.key, Entry(outcome, read.sent_at, outcome.size), self._clock())
        # That there is no such thing is an answer; throttles and failures are not kept.
        elif isinstance(outcome, errors.TaskgateError) and outcome.code is StatusCode.NOT_FOUND:
            news: Entry[Outcome] = Entry(outcome.with_traceback(None), read.sent_at, ERROR_BYTES)
            self.cache.put(read.key, news, self._clock())

    async def _send(self, question: Question, asker: SoleAsker) -> Answer:
        """Sends a write, or a read that is not shared.

        What was read of a write's resource before it ended is too old from then on.
        """
        plan, params = question.plan, question.params

        def ended() -> None:
            if not plan.is_read:
                self._writes.note(question.resource, self._clock())

        token = plan.token
        if token is not None and token not in params:
            # boto3 would make a new one at each attempt, and AWS would do the same thing twice.
            params = {**params, token: str(uuid.uuid4())}
        return await self.paced.send(
            question.operation,
            params,
            asker,
            repeatable=plan.is_read or token is not None,
            ended=ended,
        )

    def _plan(self, operation: str) -> OperationPlan:
        plan = self._plans.get(operation)
        if plan is None:
            from taskgate_server.upstream.plans import plan_operation  # noqa: PLC0415  # see above

            plan = self._plans[operation] = plan_operation(self.spec, operation)
        return plan


def _row_answer(answer: Answer, row: dict[str, Any]) -> Answer:
    return Answer(
        value=row,
        request_id=answer.request_id,
        observe_time=answer.observe_time,
        size=answer.size // len(answer.value),
        span=answer.span,
    )


def _told(outcome: Answer | Exception) -> Answer:
    if isinstance(outcome, Answer):
        return outcome
    if isinstance(outcome, errors.TaskgateError):
        raise replace(outcome)  # a copy: each caller's error gets a traceback of its own
    raise outcome
