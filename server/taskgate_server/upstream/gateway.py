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
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.telemetry import spans
from taskgate_server.upstream.availability import PROBE_SECONDS, Availability
from taskgate_server.upstream.aws_client.body import Body
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.batching.reads import Batches
from taskgate_server.upstream.batching.writes import BatchedWrites, Writes
from taskgate_server.upstream.cache import Entry, ResponseCache, entry_bytes
from taskgate_server.upstream.in_flight import InFlightCall, InFlightCalls
from taskgate_server.upstream.listed import ListPlan, Lists, is_refusal, row_answer
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.request import (
    AwsRequest,
    Outcome,
    Params,
    Read,
    key_bytes,
    make_aws_request,
    request_key,
)
from taskgate_server.upstream.requesters import Requesters, Share
from taskgate_server.upstream.writes import WriteLog

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.plans import OperationPlan

ROW = "row"
"""In the place of the operation in the key of a kept row: it has less to tell than an answer."""

ERROR_BYTES = 1024
"""The body that a cached error is counted as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How much is shared between callers, and kept for them."""

    default_max_age: float
    """Seconds that an answer may be old when the caller does not say."""
    max_cache_age: float
    """Seconds after which no answer is kept."""
    max_entries: int
    max_bytes: int
    batch_slots: int
    """Batches of one operation in flight."""
    batch_linger: float
    """Seconds that a batch waits for more under load."""


class _Wait(NamedTuple):
    """How one caller waits for a response."""

    share: Share
    give_up_at: float
    """When the caller stops waiting, by the clock; inf for no limit."""
    not_before: float
    """When the response must have been sent at the earliest, by the clock."""


class Gateway:
    """The door to one AWS service."""

    def __init__(
        self,
        paced: UpstreamPipeline,
        sharing: Sharing,
        *,
        default_time_limit: float,
        payload_executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        sender = paced.sender
        self.connection = sender.connection
        self.spec = sender.connection.spec
        self.payload_executor = payload_executor or sender.executor
        """Reads and writes streamed payloads. It has threads of its own, since a payload takes as
        long as its caller likes, and calls must not wait for that."""
        self.paced = paced
        self._sender = sender
        self._sharing = sharing
        self._default_time_limit = default_time_limit
        self._clock = clock
        self._plans: dict[str, OperationPlan] = {}
        self.cache: ResponseCache[Outcome] = ResponseCache(
            max_entries=sharing.max_entries,
            max_bytes=sharing.max_bytes,
            max_age=sharing.max_cache_age,
        )
        self.in_flight_calls: InFlightCalls[AwsRequest, AwsResponse] = InFlightCalls()
        self._writes = WriteLog(sharing.max_cache_age)
        self.lists = Lists(paced)
        self.batches = Batches(
            paced,
            slots=sharing.batch_slots,
            linger=sharing.batch_linger,
            clock=clock,
            sleep=sleep,
        )
        self._batched_writes = BatchedWrites(paced, clock)
        self.availability = Availability(self.connection, paced.breaker, self._send_probe, clock)
        self.sent_singly = 0  # shared reads that left as they are, for metrics

    async def call(self, operation: str, params: Params, options: CallOptions) -> AwsResponse:
        """Call an operation by its AWS name, or share a call that is fresh enough.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them, already checked against the model.
            options: timeout, age, priority and requester.

        Raises:
            errors.TaskgateError: whatever went wrong, see `errors`.
        """
        return await self.ask(self.aws_request(operation, params), options)

    def aws_request(self, operation: str, params: Params) -> AwsRequest:
        """A call in the form that `ask` and `kept` take, to be used again for the same call."""
        return make_aws_request(operation, params, self._plan(operation))

    def kept(self, aws_request: AwsRequest, max_age: float | None) -> AwsResponse | None:
        """What is known without asking AWS: for a caller that has no time to wait for anything.

        Raises:
            errors.TaskgateError: NOT_FOUND, that there is no such thing is what is known.
        """
        if not aws_request.plan.is_shared:
            return None
        kept = self.cache.get(aws_request.key, self._not_before(aws_request, max_age))
        return _told(kept.value) if kept is not None else None

    async def ask(
        self,
        aws_request: AwsRequest,
        options: CallOptions,
        *,
        fields: frozenset[str] | None = None,
    ) -> AwsResponse:
        """Do the same as `call`.

        Args:
            aws_request: what to call.
            options: see `call`.
            fields: those of the response that the caller needs, so that the row of a list may be
                the response; None for all.
        """
        timeout = self._timeout(options)
        wait = _Wait(
            share=Share(options.priority, options.requester),
            give_up_at=self._clock() + timeout,
            not_before=self._not_before(aws_request, options.max_age),
        )
        try:
            if not aws_request.plan.is_shared:
                async with asyncio.timeout(None if timeout == math.inf else timeout):
                    return await self._send(aws_request, wait)
            kept = self.cache.get(aws_request.key, wait.not_before)
            if kept is not None:
                return _told(kept.value)
            listing = aws_request.plan.listing
            if fields is not None and listing is not None and fields <= listing.fields:
                row = await self._from_list(aws_request, listing, wait)
                if row is not None:
                    return row
                with self.lists.reading_singly(listing.key(aws_request.params)):
                    return await self._join(aws_request, wait)
            return await self._join(aws_request, wait)
        except TimeoutError:
            origin = self._sender.origin(aws_request.operation)
            raise errors.time_limit_exceeded(origin, timeout) from None

    async def write_many(
        self, operation: str, items: Sequence[Params], *, token: str, options: CallOptions
    ) -> list[errors.TaskgateError | None]:
        """Calls an operation that writes one thing for many of them, in batches where AWS has some.

        Args:
            operation: such as `UpdateTask`.
            items: the parameters for each, without a token.
            token: makes it safe to send all of them again.
            options: see `call`.

        Returns:
            For each item None, or the error that the call for it alone would have raised.
        """
        limit = self._timeout(options)
        plan = self._plan(operation)

        def written(item: Params) -> None:
            self._writes.note(plan.resource(item), self._clock())

        writes = Writes(
            operation=operation,
            items=items,
            token=token,
            requesters=Requesters.sole(
                Share(options.priority, options.requester), self._clock() + limit, spans.current()
            ),
            written=written,
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(None if limit == math.inf else limit):
                await self._batched_writes.send(writes, plan)
        return writes.outcomes(errors.time_limit_exceeded(self._sender.origin(operation), limit))

    @property
    def not_ready_reason(self) -> str | None:
        """Why the AWS service cannot be called at present, for a person; None while it can."""
        if self.connection.client is None:
            error = self.connection.error
            return error.message if error is not None else "the server is still starting"
        if self.availability.reason is not None:
            return self.availability.reason
        is_throttled = self.paced.limiter.throttling.is_total
        return "AWS throttles all calls" if is_throttled else None

    async def _send_probe(self, operation: str, leaving: Callable[[], None]) -> AwsResponse:
        return await self._sender.send(operation, {}, time_limit=PROBE_SECONDS, leaving=leaving)

    async def close(self) -> None:
        """Ends what is in the air. Call it when no caller waits any more."""
        await self.availability.close()
        await self.in_flight_calls.close()
        await self.batches.close()

    def shut_down_threads(self) -> None:
        """Let the threads end when they are done with what they do."""
        for executor in (self._sender.executor, self.payload_executor):
            executor.shutdown(wait=False, cancel_futures=True)

    def body(self, operation: str, stream: Any) -> Body:
        """The streamed member of an answer, to be read."""
        return Body(stream, self.payload_executor, self._sender.origin(operation))

    def _timeout(self, options: CallOptions) -> float:
        return self._default_time_limit if options.timeout is None else options.timeout

    async def _join(self, aws_request: AwsRequest, wait: _Wait) -> AwsResponse:
        """A call of the operation itself: one in the air, or a new one."""
        read = self.in_flight_calls.join(aws_request.key, wait.not_before) or self._launch(
            aws_request
        )
        return _told(await read.wait(wait.share, wait.give_up_at))

    async def _from_list(
        self, aws_request: AwsRequest, listing: ListPlan, wait: _Wait
    ) -> AwsResponse | None:
        """The row of the list that has it; None where a single call is cheaper, or must decide."""
        row = request_key(ROW, aws_request.params)
        kept = self.cache.get(row, wait.not_before)
        if kept is not None:
            return _told(kept.value)
        key = listing.key(aws_request.params)
        read = self.in_flight_calls.find(key, wait.not_before)
        if read is None:
            if self.in_flight_calls.find(
                aws_request.key, wait.not_before
            ) or not self.lists.is_cheaper(key):
                return None
            read = self._launch_list(aws_request, key, listing)
        outcome = await read.wait(wait.share, wait.give_up_at)
        if isinstance(outcome, errors.TaskgateError) and is_refusal(outcome):
            return None
        response = _told(outcome)
        kept = self.cache.get(row, wait.not_before)
        if kept is not None:
            return _told(kept.value)
        told = response.value.get(aws_request.params[listing.item])
        return None if told is None else row_answer(response, told)

    def _launch_list(self, aws_request: AwsRequest, key: Hashable, listing: ListPlan) -> Read:
        read: Read = InFlightCall(
            key,
            aws_request,
            self._clock,
            lambda read, _: self.in_flight_calls.finish(read),
            self.in_flight_calls.finish,
        )
        self.in_flight_calls.start(read)
        self.in_flight_calls.run(read, asyncio.ensure_future(self._fly_list(read, listing)))
        return read

    async def _fly_list(self, read: Read, listing: ListPlan) -> None:
        outcome: AwsResponse | Exception
        try:
            outcome = await self.lists.read(read, listing)
            self._keep_rows(read, listing, outcome)
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait are told
            outcome = error
        read.settle(outcome)

    def _keep_rows(self, read: Read, listing: ListPlan, response: AwsResponse) -> None:
        if read.sent_at is None:
            return
        parent = listing.parent(read.aws_request.params)
        for item, row in response.value.items():
            told = row_answer(response, row)
            key = request_key(ROW, {**parent, listing.item: item})
            self._remember(key, told, read.sent_at, told.size)

    def _not_before(self, aws_request: AwsRequest, max_age: float | None) -> float:
        """When an answer must have been sent: late enough, and after the last write."""
        age = self._sharing.default_max_age if max_age is None else max_age
        # After the write, not at the same reading of the clock.
        written = math.nextafter(self._writes.latest(aws_request.resource), math.inf)
        return max(self._clock() - age, written)

    def _launch(self, aws_request: AwsRequest) -> Read:
        """Asks AWS, in a batch where there is one."""
        read: Read = InFlightCall(
            aws_request.key, aws_request, self._clock, self._landed, self.in_flight_calls.finish
        )
        self.in_flight_calls.start(read)
        batch = aws_request.plan.batch
        if batch is not None and self.batches.can_take(aws_request):
            self.batches.put(read, batch)
        else:
            self.in_flight_calls.run(read, asyncio.ensure_future(self._fly(read)))
        return read

    async def _fly(self, read: Read) -> None:
        outcome: AwsResponse | Exception
        try:
            aws_request = read.aws_request
            self.sent_singly += 1
            outcome = await self.paced.send(
                aws_request.operation, aws_request.params, read.requesters, repeatable=True
            )
        except asyncio.CancelledError:
            self.in_flight_calls.finish(read)
            raise
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait are told
            outcome = error
        read.settle(outcome)

    def _landed(self, read: Read, outcome: AwsResponse | Exception) -> None:
        """Keeps what is worth keeping of a call that has ended."""
        self.in_flight_calls.finish(read)
        if read.sent_at is None:
            return
        if isinstance(outcome, AwsResponse):
            self._remember(read.key, outcome, read.sent_at, outcome.size)
        # That there is no such thing is an answer; throttles and failures are not kept.
        elif isinstance(outcome, errors.TaskgateError) and outcome.code is StatusCode.NOT_FOUND:
            self._remember(read.key, outcome.with_traceback(None), read.sent_at, ERROR_BYTES)

    def _remember(self, key: Hashable, outcome: Outcome, sent_at: float, body_bytes: int) -> None:
        """Cache what a call ended with."""
        size = entry_bytes(body_bytes, key_bytes(key))
        self.cache.put(key, Entry(outcome, sent_at, size), self._clock())

    async def _send(self, aws_request: AwsRequest, wait: _Wait) -> AwsResponse:
        """Sends a write, or a read that is not shared.

        What was read of a write's resource before it ended is too old from then on.
        """
        plan, params = aws_request.plan, aws_request.params

        def ended() -> None:
            if not plan.is_read:
                self._writes.note(aws_request.resource, self._clock())

        token = plan.token
        if token is not None and token not in params:
            # boto3 would make a new one at each attempt, and AWS would do the same thing twice.
            params = {**params, token: str(uuid.uuid4())}
        return await self.paced.send(
            aws_request.operation,
            params,
            Requesters.sole(wait.share, wait.give_up_at, spans.current()),
            repeatable=plan.is_read or token is not None,
            ended=ended,
        )

    def _plan(self, operation: str) -> OperationPlan:
        plan = self._plans.get(operation)
        if plan is None:
            from taskgate_server.upstream.plans import plan_operation  # noqa: PLC0415  # see above

            plan = self._plans[operation] = plan_operation(self.spec, operation)
        return plan


def _told(outcome: AwsResponse | Exception) -> AwsResponse:
    if isinstance(outcome, AwsResponse):
        return outcome
    if isinstance(outcome, errors.TaskgateError):
        raise replace(outcome)  # a copy: each caller's error gets a traceback of its own
    raise outcome
