"""Many writes of one kind through a batch operation, and single calls where AWS refuses that one.

Each write has an outcome of its own. What the caller's token makes safe to repeat stays so: each
call that AWS gets has a token that follows from the caller's and from what is in the call.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskgate_server import errors
from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.batching.refusals import BatchRefusals, is_refusal
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.requesters import Requesters
from taskgate_server.upstream.retries import is_retryable

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.batching.plan import BatchWritePlan
    from taskgate_server.upstream.plans import OperationPlan

Params: TypeAlias = Mapping[str, Any]

TOKENS: Final = uuid.UUID("6f0e6c0a-9c39-4c55-8a5b-6b8c0d3c7f51")
"""The name space of derived tokens: any that is always the same."""

SINGLE_CALLS_AT_ONCE: Final = 16


@dataclass(slots=True, kw_only=True)
class Writes:
    """The writes of one caller."""

    operation: str
    """The one that writes one thing, by its AWS name."""
    items: Sequence[Params]
    """Its parameters for each, without a token."""
    token: str
    """The caller's: makes it safe to send all of them again."""
    requesters: Requesters
    """The caller."""
    written: Callable[[Params], None]
    """Told the parameters of each when AWS has been heard about it."""
    pending: set[int] = field(default_factory=set)
    """The writes that have no outcome yet."""
    errors: dict[int, TaskgateError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pending = set(range(len(self.items)))

    def pick(self, indices: Sequence[int]) -> list[Params]:
        """Some of the items."""
        return [self.items[index] for index in indices]

    def ended(self, indices: Sequence[int]) -> None:
        """AWS has been heard, or given up: it may have written these."""
        for index in indices:
            self.written(self.items[index])

    def settle(self, indices: Sequence[int], error: TaskgateError | None = None) -> None:
        """These have had the same outcome."""
        for index in indices:
            self.pending.discard(index)
            self.errors.pop(index, None)
            if error is not None:
                self.errors[index] = error

    def outcomes(self, unsettled: TaskgateError) -> list[TaskgateError | None]:
        """The outcome of each, in the items' order: None for what AWS has taken."""
        self.settle(list(self.pending), unsettled)
        return [self.errors.get(index) for index in range(len(self.items))]

    def token_for(self, indices: Sequence[int], attempt: int) -> str:
        """The token of a call with these items, the same whenever the caller sends all again.

        AWS does nothing for a token that it has seen, and refuses one that comes with other
        parameters; so parts of a request, and what is left of it to be tried again, have others.
        """
        if attempt == 1 and len(indices) == len(self.items):
            return self.token
        told = json.dumps([self.token, attempt, self.pick(indices)], sort_keys=True, default=repr)
        return str(uuid.uuid5(TOKENS, told))


class BatchedWrites:
    """Sends many writes to one AWS service.

    Args:
        sender: sends each call.
        clock: monotonic seconds.
    """

    def __init__(self, sender: UpstreamPipeline, clock: Callable[[], float]) -> None:
        self._sender = sender
        self._refusals = BatchRefusals(clock)

    async def send(self, writes: Writes, plan: OperationPlan) -> None:
        """Sends them, as few calls as can be; each has an outcome when this ends.

        Cancelled, it leaves without one what AWS has not been heard about.
        """
        batch, count = plan.batch_write, len(writes.items)
        if batch is None or count == 1 or not self._refusals.takes(writes.operation):
            await self._send_singly(writes, plan, range(count))
            return
        size = batch.max_items
        parts = [range(first, min(first + size, count)) for first in range(0, count, size)]
        await asyncio.gather(*(self._send_part(writes, plan, batch, part) for part in parts))

    async def _send_part(
        self, writes: Writes, plan: OperationPlan, batch: BatchWritePlan, part: Sequence[int]
    ) -> None:
        """One batch, and again those of its items that AWS may take at the next try."""
        waiting = list(part)

        async def attempt(number: int) -> None:
            nonlocal waiting
            try:
                await self._send_batch(writes, batch, waiting, number)
            except TaskgateError as error:
                if not is_refusal(error):
                    writes.settle(waiting, error)
                    return
                await self._send_singly(writes, plan, waiting)
                singly = [writes.errors.get(index) for index in waiting]
                self._refusals.refused(writes.operation, singly)
                return
            self._refusals.accepted(writes.operation)
            failed = {index: writes.errors[index] for index in waiting if index in writes.errors}
            waiting = [
                index for index, error in failed.items() if is_retryable(error, repeatable=True)
            ]
            if waiting:
                raise failed[waiting[0]]

        with suppress(TaskgateError):  # each item has its own
            await self._sender.retries.run(
                attempt, repeatable=True, give_up_at=lambda: writes.requesters.give_up_at
            )

    async def _send_batch(
        self, writes: Writes, batch: BatchWritePlan, part: Sequence[int], attempt: int
    ) -> None:
        items = writes.pick(part)
        if self._sender.sender.meter is not None:
            self._sender.sender.meter.batch(batch.operation, len(items))
        aws_response = await self._sender.send(
            batch.operation,
            batch.to_params(items, writes.token_for(part, attempt)),
            writes.requesters,
            repeatable=batch.token is not None,
            ended=partial(writes.ended, part),
        )
        splits = batch.split(items, aws_response.value)
        for index, item, error in zip(part, items, splits, strict=True):
            if error is None:
                writes.settle([index], None)
                continue
            origin = self._sender.sender.origin(writes.operation, item)
            response = {**error, "ResponseMetadata": {"RequestId": aws_response.request_id}}
            writes.settle([index], errors.from_aws(response, origin))

    async def _send_singly(self, writes: Writes, plan: OperationPlan, part: Sequence[int]) -> None:
        places = asyncio.Semaphore(SINGLE_CALLS_AT_ONCE)

        async def send(index: int) -> None:
            token = {plan.token: writes.token_for([index], 1)} if plan.token else {}
            async with places:
                try:
                    await self._sender.send(
                        writes.operation,
                        {**writes.items[index], **token},
                        writes.requesters,
                        repeatable=plan.token is not None,
                        ended=partial(writes.ended, [index]),
                    )
                except TaskgateError as error:
                    writes.settle([index], error)
                else:
                    writes.settle([index])

        await asyncio.gather(*(send(index) for index in part))
