"""Reads of one thing each through batch operations, and single calls where AWS refuses those."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.aws_client.threads import STUCK_SECONDS
from taskgate_server.upstream.batching.queue import LATER, Batcher, Later
from taskgate_server.upstream.batching.refusals import BatchRefusals, is_refusal
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.token_bucket import Permit
from taskgate_server.upstream.request import AwsRequest, Outcome, Read
from taskgate_server.upstream.requesters import Requesters

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.batching.plan import BatchPlan

Params: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BatchPermit:
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
        sender: UpstreamPipeline,
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
        self._batchers: dict[str, Batcher[Read, BatchPermit]] = {}
        self._refusals = BatchRefusals(clock)
        self._later: set[asyncio.Task[None]] = set()
        self._seconds: dict[str, float] = {}
        """How long a call takes, by operation that is batched."""
        self._stuck: Counter[str] = Counter()
        """Calls that hang, by operation that is batched."""
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

    def can_take(self, aws_request: AwsRequest) -> bool:
        """Return whether AWS takes the read in a batch, as far as is known."""
        return self._refusals.takes(aws_request.operation, aws_request.key)

    def put(self, read: Read, plan: BatchPlan) -> None:
        """Has a read sent, alone or with others, and settled as the single call would have it."""
        operation = read.aws_request.operation
        batcher = self._batchers.get(operation)
        if batcher is None:
            batcher = self._batchers[operation] = self._make(operation, plan)
        batcher.put(read)

    def _make(self, operation: str, plan: BatchPlan) -> Batcher[Read, BatchPermit]:
        limiter = self._sender.limiter

        async def admit(waiting: int, requesters: Requesters) -> tuple[int, BatchPermit]:
            # One alone goes as the single call, which costs less and whose errors have more to
            # say; unless it had to wait, since others may come meanwhile.
            is_single = waiting == 1 and limiter.can_send(operation)
            name = operation if is_single else plan.operation
            permit = await self._sender.admit(name, requesters)
            return 1 if is_single else plan.max_items, BatchPermit(permit, is_single)

        async def send(reads: Sequence[Read], leave: BatchPermit) -> Sequence[Outcome | Later]:
            began = self._clock()
            try:
                with self._giving_up_its_slot(operation):
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

    @contextmanager
    def _giving_up_its_slot(self, operation: str) -> Iterator[None]:
        """Enclose a call that leaves its slot to others if it hangs."""
        stuck: list[str] = []

        def give_up() -> None:
            stuck.append(operation)
            self._stuck[operation] += 1
            self._batchers[operation].start()  # reads may wait for the slot

        timer = asyncio.get_running_loop().call_later(STUCK_SECONDS, give_up)
        try:
            yield
        finally:
            timer.cancel()
            self._stuck.subtract(stuck)

    def _allowed(self, operation: str) -> int:
        is_quick = self._seconds.get(operation, math.inf) < QUICK_SECONDS
        return (1 if is_quick else self._slots) + self._stuck[operation]

    async def _send(
        self, operation: str, plan: BatchPlan, reads: Sequence[Read], leave: BatchPermit
    ) -> Sequence[Outcome | Later]:
        if not reads:
            self._sender.limiter.unused(leave.permit)
            return []
        if leave.is_single:
            return [await self._ask_singly(operation, reads[0], leave.permit)]
        params = [read.aws_request.params for read in reads]
        self.sent_in_batches += len(reads)
        if self._sender.sender.meter is not None:
            self._sender.sender.meter.batch(plan.operation, len(reads))
        try:
            with closing(_requesters_of(reads)) as requesters:
                aws_response = await self._sender.send(
                    plan.operation,
                    plan.to_params(params),
                    requesters,
                    repeatable=True,
                    permit=leave.permit,
                )
        except errors.TaskgateError as error:
            if not self._is_worth_splitting(error, reads):
                raise
            return await self._send_singly(operation, reads, is_refused=is_refusal(error))
        self._refusals.accepted(operation)
        return self._put_failed_again(
            operation, reads, self._split(operation, plan, params, aws_response)
        )

    def _is_worth_splitting(self, error: errors.TaskgateError, reads: Sequence[Read]) -> bool:
        """Return whether single calls may succeed where the batch failed.

        One item may be what AWS fails at; in an outage the retry budget limits how often that is
        tried.
        """
        if is_refusal(error):
            return True
        is_internal = error.code is StatusCode.INTERNAL and error.domain != errors.TASKGATE_DOMAIN
        return is_internal and len(reads) > 1 and self._sender.retries.budget.withdraw()

    async def _send_singly(
        self, operation: str, reads: Sequence[Read], *, is_refused: bool
    ) -> list[Outcome]:
        outcomes = await asyncio.gather(
            *(self._ask_singly(operation, read, None) for read in reads)
        )
        failures = [each if isinstance(each, errors.TaskgateError) else None for each in outcomes]
        if is_refused:
            self._refusals.refused(operation, failures)
        keys = [read.key for read in reads]
        self._refusals.note_odd_items(dict(zip(keys, failures, strict=True)))
        return outcomes

    async def _ask_singly(self, operation: str, read: Read, permit: Permit | None) -> Outcome:
        self.sent_singly += 1
        try:
            return await self._sender.send(
                operation, read.aws_request.params, read.requesters, repeatable=True, permit=permit
            )
        except errors.TaskgateError as error:
            return error

    def _split(
        self, operation: str, plan: BatchPlan, params: Sequence[Params], aws_response: AwsResponse
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        size = aws_response.size // len(params)
        for item, value in zip(params, plan.split(params, aws_response.value), strict=True):
            if "Error" in value:
                response = {**value, "ResponseMetadata": {"RequestId": aws_response.request_id}}
                origin = self._sender.sender.origin(operation, item)
                outcomes.append(errors.from_aws(response, origin))
            else:
                outcomes.append(
                    AwsResponse(
                        value=value,
                        request_id=aws_response.request_id,
                        observe_time=aws_response.observe_time,
                        size=size,
                        span=aws_response.span,
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
