"""Reads of one item each through batch operations, or single calls where AWS refuses batches."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.aws_client.sender import AwsResponse, Outcome
from taskgate_server.upstream.batching.queue import BatchQueue, Send
from taskgate_server.upstream.batching.refusals import BatchRefusals, is_refusal
from taskgate_server.upstream.in_flight import InFlightCall, Requesters, TaskSet
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.token_bucket import STUCK_SECONDS, Permit
from taskgate_server.upstream.request import AwsRequest, BatchPlan, Params

Read: TypeAlias = InFlightCall[AwsRequest, AwsResponse]
"""A shared read in flight."""

FAST_SECONDS = 0.01
"""If calls are faster than this, only one batch is in flight: a second one would save no time but
double the calls. With an upstream without latency, 128 callers got responses 25 % faster."""

LATENCY_WEIGHT = 0.2
"""Weight of the latest call in the average latency."""


class BatchedReads:
    """The batch queues of one AWS service, one for each operation that can be batched.

    Args:
        pipeline: sends each call.
        tasks: those that send batches.
        slots: batches of an operation in flight.
        linger: see `BatchQueue`.
        clock: monotonic seconds.
        sleep: waits; an argument for tests.
    """

    def __init__(
        self,
        pipeline: UpstreamPipeline,
        tasks: TaskSet,
        *,
        slots: int,
        linger: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._pipeline = pipeline
        self._tasks = tasks
        self._slots = slots
        self._linger = linger
        self._clock = clock
        self._sleep = sleep
        self._queues: dict[str, BatchQueue] = {}
        self._refusals = BatchRefusals(clock)
        self._latencies: dict[str, float] = {}
        """Average seconds of a call, by single operation; so are the stuck calls."""
        self._stuck: Counter[str] = Counter()
        self.sent_singly = 0
        self.sent_in_batches = 0
        """Reads sent, for metrics."""

    def waiting(self) -> dict[str, int]:
        """Return how many reads wait to be sent, by operation."""
        return {operation: len(queue) for operation, queue in self._queues.items()}

    def allows(self, aws_request: AwsRequest) -> bool:
        """Return whether AWS is expected to accept the read in a batch."""
        return self._refusals.allows(aws_request.operation, aws_request.key)

    def enter(self, read: Read, plan: BatchPlan) -> Callable[[], None]:
        """Queue a read, to be settled as a single call would settle it.

        Returns:
            A function that sends it, alone or with others. It needs a requester by then.
        """
        operation = read.aws_request.operation
        queue = self._queues.get(operation)
        if queue is None:
            queue = self._queues[operation] = BatchQueue(
                partial(self._admit, operation, plan),
                self._tasks,
                max_items=plan.max_items,
                slots=partial(self._allowed_slots, operation),
                linger=self._linger,
                sleep=self._sleep,
            )
        queue.enter(read)
        return queue.start

    async def _admit(
        self, operation: str, plan: BatchPlan, waiting: int, requesters: Requesters
    ) -> tuple[int, Send]:
        """See `queue.Admit`."""
        # A lone read goes as a single call, which costs less and has more precise errors; unless it
        # must wait, when others may join it.
        if waiting == 1 and self._pipeline.limiter.can_send(operation):
            permit = await self._pipeline.admit(operation, requesters)
            return 1, partial(self._send, operation, None, permit)
        permit = await self._pipeline.admit(plan.operation, requesters)
        return plan.max_items, partial(self._send, operation, plan, permit)

    async def _send(
        self, operation: str, plan: BatchPlan | None, permit: Permit, reads: Sequence[Read]
    ) -> Sequence[Outcome | None]:
        """See `queue.Send`; without a plan, send a single call."""
        if not reads:
            permit.return_unused()
            return []
        started = self._clock()
        try:
            with self._releasing_stuck_slot(operation):
                if plan is not None:
                    return await self._send_batch(operation, plan, reads, permit)
                self.sent_singly += 1
                return [
                    await self._pipeline.send(
                        operation,
                        reads[0].aws_request.params,
                        reads[0].requesters,
                        repeatable=True,
                        permit=permit,
                    )
                ]
        finally:
            seconds = self._clock() - started
            average = self._latencies.get(operation, seconds)
            self._latencies[operation] = average + LATENCY_WEIGHT * (seconds - average)

    @contextmanager
    def _releasing_stuck_slot(self, operation: str) -> Iterator[None]:
        """Enclose a call that gives its slot to others if it gets stuck."""
        stuck: list[str] = []

        def release() -> None:
            stuck.append(operation)
            self._stuck[operation] += 1
            self._queues[operation].start()  # reads may wait for the slot

        timer = asyncio.get_running_loop().call_later(STUCK_SECONDS, release)
        try:
            yield
        finally:
            timer.cancel()
            self._stuck.subtract(stuck)

    def _allowed_slots(self, operation: str) -> int:
        is_fast = self._latencies.get(operation, math.inf) < FAST_SECONDS
        return (1 if is_fast else self._slots) + self._stuck[operation]

    async def _send_batch(
        self, operation: str, plan: BatchPlan, reads: Sequence[Read], permit: Permit
    ) -> Sequence[Outcome | None]:
        params = [read.aws_request.params for read in reads]
        self.sent_in_batches += len(reads)
        if self._pipeline.sender.meter is not None:
            self._pipeline.sender.meter.batch(plan.operation, len(reads))
        try:
            with closing(_requesters_of(reads)) as requesters:
                aws_response = await self._pipeline.send(
                    plan.operation,
                    plan.to_params(params),
                    requesters,
                    repeatable=True,
                    permit=permit,
                )
        except errors.TaskgateError as error:
            if not self._should_split(error, reads):
                raise
            return await self._send_singly(operation, reads, is_refused=is_refusal(error))
        self._refusals.record_success(operation)
        return self._requeue_failed(
            operation, reads, self._split(operation, plan, params, aws_response)
        )

    def _should_split(self, error: errors.TaskgateError, reads: Sequence[Read]) -> bool:
        """Return whether to try single calls after a failed batch.

        AWS may have failed at one item. In an outage the retry budget limits these attempts.
        """
        if is_refusal(error):
            return True
        is_internal = error.code is StatusCode.INTERNAL and error.domain != errors.TASKGATE_DOMAIN
        return is_internal and len(reads) > 1 and self._pipeline.retries.budget.withdraw()

    async def _send_singly(
        self, operation: str, reads: Sequence[Read], *, is_refused: bool
    ) -> Sequence[Any]:
        self.sent_singly += len(reads)
        send = partial(self._pipeline.send, operation, repeatable=True)
        calls = (send(read.aws_request.params, read.requesters) for read in reads)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        failures = {
            read.key: outcome if isinstance(outcome, errors.TaskgateError) else None
            for read, outcome in zip(reads, outcomes, strict=True)
            if isinstance(outcome, AwsResponse | errors.TaskgateError)  # not if it was abandoned
        }
        if is_refused:
            self._refusals.record_refusal(operation, list(failures.values()))
        self._refusals.exclude_odd_items(failures)
        return outcomes

    def _split(
        self, operation: str, plan: BatchPlan, params: Sequence[Params], aws_response: AwsResponse
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        size = aws_response.size // len(params)
        for item, value in zip(params, plan.split(params, aws_response.value), strict=True):
            if "Error" in value:
                response = {**value, "ResponseMetadata": {"RequestId": aws_response.request_id}}
                origin = self._pipeline.sender.origin(operation, item)
                outcomes.append(errors.from_aws(response, origin))
            else:
                outcomes.append(aws_response.part(value, size))
        return outcomes

    def _requeue_failed(
        self, operation: str, reads: Sequence[Read], outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome | None]:
        """Requeue the reads whose errors are retryable; return the outcomes of the others.

        The batch itself has succeeded, so `Retries.run` does not retry it.
        """
        attempts = [read.attempts for read in reads]
        pause, may_retry = self._pipeline.retries.batch_pause(outcomes, attempts)
        requeued = {
            read: outcome
            for read, outcome, may in zip(reads, outcomes, may_retry, strict=True)
            if may and self._clock() + pause < read.requesters.give_up_at
        }
        for read in requeued:
            read.attempts += 1
            read.sent_at = None
        if requeued:  # with a timer each, the reads would leave one by one
            self._tasks.add(asyncio.ensure_future(self._requeue(operation, requeued, pause)))
        pairs = zip(reads, outcomes, strict=True)
        return [None if read in requeued else outcome for read, outcome in pairs]

    async def _requeue(self, operation: str, reads: Mapping[Read, Outcome], pause: float) -> None:
        await self._sleep(pause)
        for read, outcome in reads.items():
            if read.requesters.shares:
                self._queues[operation].add(read)
            else:
                read.settle(outcome)  # no requester is left, and none may join


def _requesters_of(reads: Sequence[Read]) -> Requesters:
    """Return the requesters of a batch, which waits as long as the last one of them."""

    def on_sent() -> None:
        for read in reads:
            read.mark_sent()

    return Requesters.merge([read.requesters for read in reads], on_sent)
