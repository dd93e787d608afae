"""Many writes of one kind through a batch operation, or single calls where AWS refuses batches.

Each write has its own outcome. The caller's token keeps all of it idempotent: each call to AWS has
a token derived from the caller's and from the items of the call.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from taskgate_server import errors
from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.batching.refusals import BatchRefusals, is_refusal
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.request import BatchPlan, OperationPlan, Params
from taskgate_server.upstream.retries import is_retryable

TOKEN_NAMESPACE: Final = uuid.UUID("6f0e6c0a-9c39-4c55-8a5b-6b8c0d3c7f51")
"""The namespace of derived tokens: random, but fixed."""

MAX_SINGLE_CALLS: Final = 16
"""Single calls of one request in flight at a time."""


@dataclass(slots=True, kw_only=True)
class Writes:
    """The writes of one request, sent by `send`."""

    pipeline: UpstreamPipeline
    refusals: BatchRefusals
    """Of all requests."""
    operation: str
    """The one that writes one item, by its AWS name."""
    plan: OperationPlan
    items: Sequence[Params]
    """Its parameters for each item, without a token."""
    token: str
    """The caller's: makes it safe to repeat the request."""
    requesters: Requesters
    """The caller."""
    on_written: Callable[[Sequence[Params], float], None]
    """Called with items when AWS has responded to their call, or may have written them."""
    outcomes: list[TaskgateError | None]
    """Of each write: None for success. Those without an outcome yet have the error of a timeout."""

    def pick(self, indices: Sequence[int]) -> list[Params]:
        """Return some of the items."""
        return [self.items[index] for index in indices]

    def token_for(self, indices: Sequence[int], attempt: int) -> str:
        """Return the token of a call with some items, the same whenever the request is repeated.

        AWS ignores a call whose token it has seen, and rejects it if its parameters differ. So
        parts of a request, and the rest of it that is retried, have tokens of their own.
        """
        if attempt == 1 and len(indices) == len(self.items):
            return self.token
        name = json.dumps([self.token, attempt, self.pick(indices)], sort_keys=True, default=repr)
        return str(uuid.uuid5(TOKEN_NAMESPACE, name))

    async def send(self) -> None:
        """Send writes in as few calls as possible, and set their outcomes.

        If cancelled, the writes that AWS has not responded to keep their outcomes.
        """
        batch, count = self.plan.batch, len(self.items)
        if batch is None or count == 1 or not self.refusals.allows(self.operation):
            await self._send_singly(range(count))
            return
        size = batch.max_items
        parts = [range(first, min(first + size, count)) for first in range(0, count, size)]
        await asyncio.gather(*(self._send_part(batch, part) for part in parts))

    async def _send_part(self, batch: BatchPlan, part: Sequence[int]) -> None:
        """Send one batch, and retry its items with retryable errors."""
        waiting = list(part)

        async def attempt(number: int) -> None:
            nonlocal waiting
            try:
                await self._send_batch(batch, waiting, number)
            except TaskgateError as error:
                if not is_refusal(error):
                    for index in waiting:
                        self.outcomes[index] = error
                    return
                await self._send_singly(waiting)
                outcomes = [self.outcomes[index] for index in waiting]
                self.refusals.record_refusal(self.operation, outcomes)
                return
            self.refusals.record_success(self.operation)
            failed = {index: each for index in waiting if (each := self.outcomes[index])}
            waiting = [
                index for index, each in failed.items() if is_retryable(each, repeatable=True)
            ]
            if waiting:
                raise failed[waiting[0]]

        with suppress(TaskgateError):  # each item has its own
            await self.pipeline.retries.run(
                attempt, repeatable=True, give_up_at=lambda: self.requesters.give_up_at
            )

    async def _send_batch(self, batch: BatchPlan, part: Sequence[int], attempt: int) -> None:
        items, sender = self.pick(part), self.pipeline.sender
        if sender.meter is not None:
            sender.meter.batch(batch.operation, len(items))
        aws_response = await self.pipeline.send(
            batch.operation,
            batch.to_params(items, self.token_for(part, attempt)),
            self.requesters,
            repeatable=batch.token is not None,
            on_ended=partial(self.on_written, items),
        )
        values = batch.split(items, aws_response.value)
        for index, item, value in zip(part, items, values, strict=True):
            response = {**value, "ResponseMetadata": {"RequestId": aws_response.request_id}}
            self.outcomes[index] = (
                errors.from_aws(response, sender.origin(self.operation, item))
                if "Error" in value
                else None
            )

    async def _send_singly(self, part: Sequence[int]) -> None:
        slots = asyncio.Semaphore(MAX_SINGLE_CALLS)

        async def send(index: int) -> None:
            token = {self.plan.token: self.token_for([index], 1)} if self.plan.token else {}
            async with slots:
                try:
                    await self.pipeline.send(
                        self.operation,
                        {**self.items[index], **token},
                        self.requesters,
                        repeatable=self.plan.token is not None,
                        on_ended=partial(self.on_written, self.pick([index])),
                    )
                except TaskgateError as error:
                    self.outcomes[index] = error
                else:
                    self.outcomes[index] = None

        await asyncio.gather(*(send(index) for index in part))
