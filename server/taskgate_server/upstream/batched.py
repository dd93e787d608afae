"""Reads of one thing each through batch operations, and single calls where AWS refuses those."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.batcher import Batcher
from taskgate_server.upstream.paced import Asker, PacedSender
from taskgate_server.upstream.ratelimit import Permit, Priority
from taskgate_server.upstream.sender import Answer

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.batches import BatchPlan

Params: TypeAlias = Mapping[str, Any]

REFUSED_SECONDS = 300.0
"""How long single calls are made after AWS refused a batch operation."""

REFUSALS = frozenset({StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED, StatusCode.UNKNOWN})
"""What an endpoint answers that does not have the operation, or a policy that does not allow it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One read, and whom it is for."""

    params: Params
    asker: Asker
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Again:
    """A read that failed alone, for a reason that may pass; the call as a whole has succeeded."""

    error: errors.TaskgateError
    pause: float
    """Seconds to wait; the same for all that failed in a batch, so that they leave together."""


@dataclass(frozen=True, slots=True)
class Leave:
    """A place in the quota, for the single operation or the batch one."""

    permit: Permit
    is_single: bool


class Batches:
    """The batchers of one AWS service, one for each operation that can be batched."""

    def __init__(
        self,
        sender: PacedSender,
        *,
        slots: int,
        linger: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._sender = sender
        self._slots = slots
        self._linger = linger
        self._clock = clock
        self._sleep = sleep
        self._batchers: dict[str, Batcher[Question, Answer | Again, Leave]] = {}
        self._refused_until: dict[str, float] = {}

    async def close(self) -> None:
        """Sends nothing more."""
        for batcher in self._batchers.values():
            await batcher.close()

    async def ask(self, operation: str, params: Params, plan: BatchPlan, asker: Asker) -> Answer:
        """The answer to one read.

        Raises:
            errors.TaskgateError: as the single call would have it.
        """
        if self._clock() < self._refused_until.get(operation, float("-inf")):
            return await self._sender.send(operation, params, asker, repeatable=True)
        batcher = self._batchers.get(operation)
        if batcher is None:
            batcher = self._batchers[operation] = self._make(operation, plan)
        attempt = 1
        while isinstance(outcome := await batcher.ask(Question(params, asker, attempt)), Again):
            if self._clock() + outcome.pause >= asker.give_up_at():
                raise outcome.error
            await self._sleep(outcome.pause)
            attempt += 1
        return outcome

    def _make(self, operation: str, plan: BatchPlan) -> Batcher[Question, Answer | Again, Leave]:
        limiter = self._sender.limiter

        async def admit(waiting: Sequence[Question]) -> tuple[int, Leave]:
            # One alone goes as the single call, which costs less and whose errors have more to
            # say; unless it had to wait, since others may come meanwhile.
            is_single = len(waiting) == 1 and limiter.tokens_left(operation) >= 1
            name = operation if is_single else plan.operation
            permit = await self._sender.admit(name, _for_all(waiting))
            return 1 if is_single else plan.max_items, Leave(permit, is_single)

        async def send(
            questions: Sequence[Question], leave: Leave
        ) -> Sequence[Answer | Again | errors.TaskgateError]:
            return await self._send(operation, plan, questions, leave)

        return Batcher(
            admit=admit,
            send=send,
            max_items=plan.max_items,
            slots=self._slots,
            linger=self._linger,
            sleep=self._sleep,
        )

    async def _send(
        self, operation: str, plan: BatchPlan, questions: Sequence[Question], leave: Leave
    ) -> Sequence[Answer | Again | errors.TaskgateError]:
        if not questions:
            self._sender.limiter.unused(leave.permit)
            return []
        if leave.is_single:
            return [await self._ask_singly(operation, questions[0], leave.permit)]
        params = [question.params for question in questions]
        try:
            answer = await self._sender.send(
                plan.operation,
                plan.to_params(params),
                _for_all(questions),
                repeatable=True,
                permit=leave.permit,
            )
        except errors.TaskgateError as error:
            if error.code in REFUSALS:
                self._refused_until[operation] = self._clock() + REFUSED_SECONDS
            elif error.code is not StatusCode.INVALID_ARGUMENT:
                raise
            # One item may be what AWS does not like: each is then asked for by itself.
            calls = (self._ask_singly(operation, question, None) for question in questions)
            return await asyncio.gather(*calls)
        return self._again(questions, self._split(operation, plan, params, answer))

    async def _ask_singly(
        self, operation: str, question: Question, permit: Permit | None
    ) -> Answer | errors.TaskgateError:
        try:
            return await self._sender.send(
                operation, question.params, question.asker, repeatable=True, permit=permit
            )
        except errors.TaskgateError as error:
            return error

    def _split(
        self, operation: str, plan: BatchPlan, params: Sequence[Params], answer: Answer
    ) -> list[Answer | errors.TaskgateError]:
        outcomes: list[Answer | errors.TaskgateError] = []
        origin = self._sender.sender.origin(operation)
        for value in plan.split(params, answer.value):
            if "Error" in value:
                response = {**value, "ResponseMetadata": {"RequestId": answer.request_id}}
                outcomes.append(errors.from_aws(response, origin))
            else:
                size = answer.size // len(params)
                outcomes.append(replace(answer, value=value, size=size))
        return outcomes

    def _again(
        self,
        questions: Sequence[Question],
        outcomes: Sequence[Answer | errors.TaskgateError],
    ) -> list[Answer | Again | errors.TaskgateError]:
        """The outcomes, with those marked that are to be asked for once more."""
        failed = [
            (outcome, question.attempt)
            for outcome, question in zip(outcomes, questions, strict=True)
            if isinstance(outcome, errors.TaskgateError)
        ]
        pauses = iter(self._sender.retries.again_together(failed))
        return [
            outcome
            if isinstance(outcome, Answer) or (pause := next(pauses)) is None
            else Again(outcome, pause)
            for outcome in outcomes
        ]


def _for_all(questions: Sequence[Question]) -> Asker:
    """All who ask, as one: the call leaves for each of them, and waits as long as the last."""

    def leaving() -> None:
        for question in questions:
            question.asker.leaving()

    def give_up_at() -> float:
        return max((question.asker.give_up_at() for question in questions), default=math.inf)

    def priority() -> Priority:
        return min((question.asker.priority() for question in questions), default=Priority.POLLER)

    return Asker(leaving=leaving, give_up_at=give_up_at, priority=priority)
