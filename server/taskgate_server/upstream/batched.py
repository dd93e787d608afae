"""Reads of one thing each through batch operations, and single calls where AWS refuses those."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.batcher import Batcher, Item
from taskgate_server.upstream.sender import Answer, Sender

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.batches import BatchPlan

Params: TypeAlias = Mapping[str, Any]

REFUSED_SECONDS = 300.0
"""How long single calls are made after AWS refused a batch operation."""

REFUSALS = frozenset({StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED, StatusCode.UNKNOWN})
"""What an endpoint answers that does not have the operation, or a policy that does not allow it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One read, and whom to tell that it leaves."""

    params: Params
    leaving: Callable[[], None]


class Batches:
    """The batchers of one AWS service, one for each operation that can be batched."""

    def __init__(
        self,
        sender: Sender,
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
        self._batchers: dict[str, Batcher[Question, Answer]] = {}
        self._refused_until: dict[str, float] = {}

    async def close(self) -> None:
        """Sends nothing more."""
        for batcher in self._batchers.values():
            await batcher.close()

    async def ask(
        self, operation: str, params: Params, plan: BatchPlan, leaving: Callable[[], None]
    ) -> Answer:
        """The answer to one read; `leaving` is told when it is sent.

        Raises:
            errors.TaskgateError: as the single call would have it.
        """
        if self._clock() < self._refused_until.get(operation, float("-inf")):
            return await self._sender.send(operation, params, leaving=leaving)
        batcher = self._batchers.get(operation)
        if batcher is None:
            batcher = self._batchers[operation] = self._make(operation, plan)
        return await batcher.ask(Question(params, leaving))

    def _make(self, operation: str, plan: BatchPlan) -> Batcher[Question, Answer]:
        async def send(
            items: Sequence[Item[Question, Answer]],
        ) -> Sequence[Answer | errors.TaskgateError]:
            return await self._send(operation, plan, [item.question for item in items])

        async def admit() -> None:
            return None

        return Batcher(
            admit=admit,
            send=send,
            max_items=plan.max_items,
            slots=self._slots,
            linger=self._linger,
            sleep=self._sleep,
        )

    async def _send(
        self, operation: str, plan: BatchPlan, questions: Sequence[Question]
    ) -> Sequence[Answer | errors.TaskgateError]:
        if len(questions) == 1:  # costs less, and its errors have more to say
            return await self._send_singly(operation, questions)

        def leaving() -> None:
            for question in questions:
                question.leaving()

        params = [question.params for question in questions]
        try:
            answer = await self._sender.send(
                plan.operation, plan.to_params(params), leaving=leaving
            )
        except errors.TaskgateError as error:
            if error.code in REFUSALS:
                self._refused_until[operation] = self._clock() + REFUSED_SECONDS
            elif error.code is not StatusCode.INVALID_ARGUMENT:
                raise
            # One item may be what AWS does not like: each is then asked for by itself.
            return await self._send_singly(operation, questions)
        return self._split(operation, plan, params, answer)

    async def _send_singly(
        self, operation: str, questions: Sequence[Question]
    ) -> Sequence[Answer | errors.TaskgateError]:
        calls = (
            self._sender.send(operation, question.params, leaving=question.leaving)
            for question in questions
        )
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [_outcome(result) for result in results]

    def _split(
        self, operation: str, plan: BatchPlan, params: Sequence[Params], answer: Answer
    ) -> list[Answer | errors.TaskgateError]:
        outcomes: list[Answer | errors.TaskgateError] = []
        origin = self._sender.origin(operation)
        for value in plan.split(params, answer.value):
            if "Error" in value:
                response = {**value, "ResponseMetadata": {"RequestId": answer.request_id}}
                outcomes.append(errors.from_aws(response, origin))
            else:
                size = answer.size // len(params)
                outcomes.append(replace(answer, value=value, size=size))
        return outcomes


def _outcome(result: Answer | BaseException) -> Answer | errors.TaskgateError:
    if isinstance(result, Answer | errors.TaskgateError):
        return result
    raise result
