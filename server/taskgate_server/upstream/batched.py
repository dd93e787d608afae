"""Reads of one thing each through batch operations, and single calls where AWS refuses those."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.batcher import LATER, Batcher, Later
from taskgate_server.upstream.bucket import Permit
from taskgate_server.upstream.paced import PacedSender
from taskgate_server.upstream.question import Outcome, Read
from taskgate_server.upstream.requesters import Requesters
from taskgate_server.upstream.sender import Answer

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.batches import BatchPlan

Params: TypeAlias = Mapping[str, Any]

REFUSED_SECONDS = 300.0
"""How long single calls are made after AWS refused a batch operation."""

REFUSALS = frozenset({StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED, StatusCode.UNKNOWN})
"""What an endpoint answers that does not have the operation, or a policy that does not allow it."""


@dataclass(frozen=True, slots=True)
class Leave:
    """A place in the quota, for the single operation or the batch one."""

    permit: Permit
    is_single: bool


QUICK_SECONDS = 0.01
"""Where a call takes less, the next batch waits for it: a second one in flight would win no time,
and make twice the calls. Of an upstream without latency, 128 callers were answered 25 % faster."""

WEIGHT = 0.2
"""Of the latest call in the average of how long calls take."""


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
        self._batchers: dict[str, Batcher[Read, Leave]] = {}
        self._refused_until: dict[str, float] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._seconds: dict[str, float] = {}
        """How long a call takes, by operation that is batched."""
        self.sent_singly = 0
        self.sent_in_batches = 0
        """Reads, for metrics."""

    def waiting(self) -> dict[str, int]:
        """How many reads wait to be sent, by operation."""
        return {operation: len(batcher) for operation, batcher in self._batchers.items()}

    async def close(self) -> None:
        """Sends nothing more."""
        later = list(self._later)
        for waiting in later:
            waiting.cancel()
        await asyncio.gather(*later, return_exceptions=True)
        for batcher in self._batchers.values():
            await batcher.close()

    def can_take(self, operation: str) -> bool:
        """Whether AWS takes batches of the operation, as far as is known."""
        until = self._refused_until.get(operation)
        return until is None or self._clock() >= until

    def put(self, read: Read, plan: BatchPlan) -> None:
        """Has a read sent, alone or with others, and settled as the single call would have it."""
        operation = read.question.operation
        batcher = self._batchers.get(operation)
        if batcher is None:
            batcher = self._batchers[operation] = self._make(operation, plan)
        batcher.put(read)

    def _make(self, operation: str, plan: BatchPlan) -> Batcher[Read, Leave]:
        limiter = self._sender.limiter

        async def admit(waiting: int, requesters: Requesters) -> tuple[int, Leave]:
            # One alone goes as the single call, which costs less and whose errors have more to
            # say; unless it had to wait, since others may come meanwhile.
            is_single = waiting == 1 and limiter.can_send(operation)
            name = operation if is_single else plan.operation
            permit = await self._sender.admit(name, requesters)
            return 1 if is_single else plan.max_items, Leave(permit, is_single)

        async def send(reads: Sequence[Read], leave: Leave) -> Sequence[Outcome | Later]:
            began = self._clock()
            try:
                return await self._send(operation, plan, reads, leave)
            finally:
                took = self._clock() - began
                before = self._seconds.get(operation, took)
                self._seconds[operation] = before + WEIGHT * (took - before)

        return Batcher(
            admit=admit,
            send=send,
            max_items=plan.max_items,
            slots=lambda: self._allowed(operation),
            linger=self._linger,
            sleep=self._sleep,
        )

    def _allowed(self, operation: str) -> int:
        return 1 if self._seconds.get(operation, math.inf) < QUICK_SECONDS else self._slots

    async def _send(
        self, operation: str, plan: BatchPlan, reads: Sequence[Read], leave: Leave
    ) -> Sequence[Outcome | Later]:
        if not reads:
            self._sender.limiter.unused(leave.permit)
            return []
        if leave.is_single:
            return [await self._ask_singly(operation, reads[0], leave.permit)]
        params = [read.question.params for read in reads]
        self.sent_in_batches += len(reads)
        if self._sender.sender.meter is not None:
            self._sender.sender.meter.batch(plan.operation, len(reads))
        try:
            with closing(_requesters_of(reads)) as requesters:
                answer = await self._sender.send(
                    plan.operation,
                    plan.to_params(params),
                    requesters,
                    repeatable=True,
                    permit=leave.permit,
                )
        except errors.TaskgateError as error:
            if error.code in REFUSALS:
                self._refused_until[operation] = self._clock() + REFUSED_SECONDS
            elif error.code is not StatusCode.INVALID_ARGUMENT:
                raise
            # One item may be what AWS does not like: each is then asked for by itself.
            calls = (self._ask_singly(operation, read, None) for read in reads)
            return await asyncio.gather(*calls)
        return self._put_failed_again(
            operation, reads, self._split(operation, plan, params, answer)
        )

    async def _ask_singly(self, operation: str, read: Read, permit: Permit | None) -> Outcome:
        self.sent_singly += 1
        try:
            return await self._sender.send(
                operation, read.question.params, read.requesters, repeatable=True, permit=permit
            )
        except errors.TaskgateError as error:
            return error

    def _split(
        self, operation: str, plan: BatchPlan, params: Sequence[Params], answer: Answer
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        size = answer.size // len(params)
        for item, value in zip(params, plan.split(params, answer.value), strict=True):
            if "Error" in value:
                response = {**value, "ResponseMetadata": {"RequestId": answer.request_id}}
                origin = self._sender.sender.origin(operation, item)
                outcomes.append(errors.from_aws(response, origin))
            else:
                outcomes.append(
                    Answer(
                        value=value,
                        request_id=answer.request_id,
                        observe_time=answer.observe_time,
                        size=size,
                        span=answer.span,
                    )
                )
        return outcomes

    def _put_failed_again(
        self, operation: str, reads: Sequence[Read], outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome | Later]:
        """The outcomes, but for those reads that failed alone for a reason that may pass.

        The call as a whole has succeeded, so `Retries.run` has seen nothing of it.
        """
        failed = [
            (outcome, read.attempts)
            for outcome, read in zip(outcomes, reads, strict=True)
            if isinstance(outcome, errors.TaskgateError)
        ]
        if not failed:
            return outcomes
        pauses = iter(self._sender.retries.again_together(failed))
        told: list[Outcome | Later] = []
        for outcome, read in zip(outcomes, reads, strict=True):
            pause = next(pauses) if isinstance(outcome, errors.TaskgateError) else None
            if pause is None or self._clock() + pause >= read.requesters.give_up_at:
                told.append(outcome)
                continue
            told.append(LATER)
            read.attempts += 1
            read.sent_at = None
            putting = asyncio.ensure_future(self._put_later(operation, read, pause, outcome))
            self._later.add(putting)
            putting.add_done_callback(self._later.discard)
        return told

    async def _put_later(self, operation: str, read: Read, pause: float, outcome: Outcome) -> None:
        try:
            await self._sleep(pause)
            if read.requesters.shares:
                self._batchers[operation].put(read)
                return
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait get it
            read.settle(error)
            return
        read.settle(outcome)  # no requester is left, and none shall join it


def _requesters_of(reads: Sequence[Read]) -> Requesters:
    """Return the requesters of a batch: it waits as long as the last one of them."""

    def sent() -> None:
        for read in reads:
            read.leaving()

    return Requesters.of_all([read.requesters for read in reads], sent)
