"""The gateway, the only way to AWS: `Gateway.call`, for AWS RPCs and unified tasks alike.

It takes boto3's parameters and returns AWS's JSON, both as plain dicts. A response is never older
than `max_age` at the moment the request arrived; this rule decides what is shared. A read passes
the response cache, in-flight calls, batching and the pipeline (`fetch`).
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.telemetry import spans
from taskgate_server.upstream.availability import PROBE_SECONDS, Availability
from taskgate_server.upstream.aws_client.responses import StreamedBody
from taskgate_server.upstream.aws_client.sender import AwsResponse, Outcome
from taskgate_server.upstream.batching.reads import BatchedReads, Read
from taskgate_server.upstream.batching.refusals import BatchRefusals
from taskgate_server.upstream.batching.writes import Writes
from taskgate_server.upstream.cache import Entry, ResponseCache, WriteLog, entry_bytes
from taskgate_server.upstream.in_flight import InFlightCall, InFlightCalls, Requesters, TaskSet
from taskgate_server.upstream.options import CallOptions, Priority, Share
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.request import (
    AwsRequest,
    OperationPlan,
    Params,
    Resource,
    key_bytes,
    make_aws_request,
    plan_operation,
)

ERROR_BYTES = 1024
"""The size that is assumed for a cached error."""

PROBE_SHARE = Share(Priority.INTERACTIVE, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Settings for what callers share."""

    default_max_age: float
    """Maximum age of a response in seconds, if the caller sets none."""
    max_cache_age: float
    """Responses older than these seconds are not cached."""
    max_entries: int
    max_bytes: int
    """Bounds of the response cache."""
    batch_slots: int
    """Batches of one operation in flight."""
    batch_linger: float
    """Seconds that a batch waits for more reads under load."""


class Gateway:
    """The gateway to one AWS service.

    Args:
        pipeline: sends calls.
        sharing: settings for what callers share.
        default_timeout: of calls, in seconds.
        clock: monotonic seconds.
        sleep: waits.
    """

    def __init__(
        self,
        pipeline: UpstreamPipeline,
        sharing: Sharing,
        *,
        default_timeout: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        sender = pipeline.sender
        self.connection = sender.connection
        self.spec = sender.connection.spec
        self.pipeline = pipeline
        self._sender = sender
        self._sharing = sharing
        self._default_timeout = default_timeout
        self._clock = clock
        self._plans: dict[str, OperationPlan] = {}
        self.cache: ResponseCache[Outcome] = ResponseCache(
            max_entries=sharing.max_entries,
            max_bytes=sharing.max_bytes,
            max_age=sharing.max_cache_age,
        )
        self._tasks = TaskSet()
        self.in_flight_calls: InFlightCalls[AwsRequest, AwsResponse] = InFlightCalls()
        self._write_log = WriteLog(sharing.max_cache_age)
        self.batched_reads = BatchedReads(
            pipeline,
            self._tasks,
            slots=sharing.batch_slots,
            linger=sharing.batch_linger,
            clock=clock,
            sleep=sleep,
        )
        self._write_refusals = BatchRefusals(clock)
        self.availability = Availability(self.connection, pipeline.breaker, self._send_probe, clock)
        self.sent_singly = 0
        """Shared reads that were sent without batching, for metrics."""

    async def call(self, operation: str, params: Params, options: CallOptions) -> AwsResponse:
        """Call an operation by its AWS name, or share a call that is fresh enough.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them, already validated against the model.
            options: timeout, maximum age, priority and requester.

        Raises:
            errors.TaskgateError: any failure, see `errors`.
        """
        return await self.fetch(self.make_request(operation, params), options)

    def make_request(self, operation: str, params: Params) -> AwsRequest:
        """Return the request of a call, for `fetch` and `cached_response`; it can be reused."""
        return make_aws_request(operation, params, self._plan(operation))

    def cached_response(
        self, aws_request: AwsRequest, max_age: float | None, since_write: float = math.inf
    ) -> AwsResponse | None:
        """Return the cached response to a request, or None.

        Args:
            aws_request: the request.
            max_age: see `CallOptions`; so is `since_write`.
            since_write: seconds.

        Raises:
            errors.TaskgateError: NOT_FOUND, which is cached, too.
        """
        if not aws_request.plan.is_shared:
            return None
        entry = self.cache.get(aws_request.key, self._not_before(aws_request, max_age, since_write))
        return _response(entry.value) if entry is not None else None

    async def fetch(self, aws_request: AwsRequest, options: CallOptions) -> AwsResponse:
        """Send a request, or share a response or call that is fresh enough; see `call`."""
        cached = self.cached_response(aws_request, options.max_age, options.since_write)
        return cached if cached is not None else await self.request(aws_request, options)

    async def request(self, aws_request: AwsRequest, options: CallOptions) -> AwsResponse:
        """Send a request that has no cached response, or share a call in flight; see `call`."""
        plan, key = aws_request.plan, aws_request.key
        timeout = self._timeout(options)
        share, give_up_at = Share(options.priority, options.requester), self._clock() + timeout
        try:
            if not plan.is_shared:
                async with asyncio.timeout(None if timeout == math.inf else timeout):
                    return await self._send(aws_request, share, give_up_at, options)
            not_before = self._not_before(aws_request, options.max_age, options.since_write)
            read = self.in_flight_calls.find(key, not_before)
            if read is not None:
                self.in_flight_calls.joined += 1
                read.join(share, give_up_at)
            else:
                read, send = self._new_read(aws_request)
                read.join(share, give_up_at)
                send()
            return _response(await read.wait(share, timeout))
        except TimeoutError:
            origin = self._sender.origin(aws_request.operation)
            raise errors.TimeLimitError(origin, timeout) from None

    async def write_many(
        self, operation: str, items: Sequence[Params], *, token: str, options: CallOptions
    ) -> list[errors.TaskgateError | None]:
        """Call an operation that writes one item for many of them, in batches where possible.

        Args:
            operation: such as `UpdateTask`.
            items: the parameters for each, without a token.
            token: makes it safe to repeat all of them.
            options: see `call`.

        Returns:
            For each item None, or the error that the call for it alone would have raised.
        """
        timeout = self._timeout(options)
        plan = self._plan(operation)

        def on_written(written: Sequence[Params], uncertain_seconds: float) -> None:
            for item in written:
                self._record_write(plan.resource(item), uncertain_seconds)

        writes = Writes(
            pipeline=self.pipeline,
            refusals=self._write_refusals,
            operation=operation,
            plan=plan,
            items=items,
            token=token,
            requesters=Requesters.single(
                Share(options.priority, options.requester), self._clock() + timeout, spans.current()
            ),
            on_written=on_written,
            outcomes=[errors.TimeLimitError(self._sender.origin(operation), timeout)] * len(items),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(None if timeout == math.inf else timeout):
                await writes.send()
        return writes.outcomes

    @property
    def not_ready_reason(self) -> str | None:
        """Why the AWS service cannot be called at present, for people; None while it can."""
        if self.connection.client is None:
            error = self.connection.error
            return error.message if error is not None else "the server is still starting"
        throttled = "AWS throttles all calls" if self.pipeline.limiter.throttles.is_total else None
        return self.availability.not_ready_reason or throttled

    async def _send_probe(self, operation: str, on_sent: Callable[[], None]) -> AwsResponse:
        requesters = Requesters.single(PROBE_SHARE, self._clock() + PROBE_SECONDS)
        return await self._sender.send(operation, {}, requesters, on_sent)

    async def close(self) -> None:
        """Cancel all calls. Call it when no caller waits any more."""
        await self.availability.close()
        await self._tasks.close()

    def streamed_body(self, operation: str, stream: Any) -> StreamedBody:
        """Return the reader of a response's streamed member."""
        return StreamedBody(stream, self._sender.origin(operation))

    def _timeout(self, options: CallOptions) -> float:
        return self._default_timeout if options.timeout is None else options.timeout

    def _not_before(
        self, aws_request: AwsRequest, max_age: float | None, since_write: float
    ) -> float:
        """Return when a response must have been sent: within its age, and after the last write.

        That is the last write through this server, or one of the caller through another replica.
        """
        age = self._sharing.default_max_age if max_age is None else max_age
        not_before = self._clock() - min(age, since_write)
        if self._write_log.is_empty:
            return not_before
        # After the write, not at the same reading of the clock.
        written = math.nextafter(self._write_log.latest(aws_request.resource), math.inf)
        return max(not_before, written)

    def _new_read(self, aws_request: AwsRequest) -> tuple[Read, Callable[[], None]]:
        """Return a new in-flight call, and the function that sends it once it has a requester."""
        read: Read = InFlightCall(aws_request.key, aws_request, self._clock, self._on_ended)
        self.in_flight_calls.start(read)
        batch = aws_request.plan.batch
        if batch is not None and self.batched_reads.allows(aws_request):
            return read, self.batched_reads.enter(read, batch)

        def send() -> None:
            read.task = asyncio.ensure_future(self._send_read(read))
            self._tasks.add(read.task)

        return read, send

    async def _send_read(self, read: Read) -> None:
        outcome: AwsResponse | Exception
        try:
            aws_request = read.aws_request
            self.sent_singly += 1
            outcome = await self.pipeline.send(
                aws_request.operation, aws_request.params, read.requesters, repeatable=True
            )
        except asyncio.CancelledError:
            self.in_flight_calls.finish(read)
            raise
        except Exception as error:  # noqa: BLE001  # every error goes to the requesters
            outcome = error
        read.settle(outcome)

    def _on_ended(self, read: Read, outcome: AwsResponse | Exception | None) -> None:
        """Cache the outcome of a call: responses and NOT_FOUND, but no other errors."""
        self.in_flight_calls.finish(read)
        if read.sent_at is None:
            return
        if isinstance(outcome, AwsResponse):
            body_bytes = outcome.size
        elif isinstance(outcome, errors.TaskgateError) and outcome.code is StatusCode.NOT_FOUND:
            outcome, body_bytes = outcome.with_traceback(None), ERROR_BYTES
        else:
            return
        size = entry_bytes(body_bytes, key_bytes(read.key))
        self.cache.put(read.key, Entry(outcome, read.sent_at, size), self._clock())

    async def _send(
        self, aws_request: AwsRequest, share: Share, give_up_at: float, options: CallOptions
    ) -> AwsResponse:
        """Send a write, or a read that is not shared.

        Reads of a write's resource that were sent before the write ended are outdated afterwards.
        """
        plan, params = aws_request.plan, aws_request.params

        def on_ended(uncertain_seconds: float) -> None:
            if not plan.is_read:
                self._record_write(aws_request.resource, uncertain_seconds)

        token = plan.token
        if token is not None and token not in params:
            # boto3 would make a new one for each attempt, and AWS would execute the write twice.
            params = {**params, token: str(uuid.uuid4())}
        return await self.pipeline.send(
            aws_request.operation,
            params,
            Requesters.single(share, give_up_at, spans.current()),
            repeatable=plan.is_read or token is not None,
            may_retry=options.may_retry,
            on_ended=on_ended,
        )

    def _record_write(self, resource: Resource, uncertain_seconds: float) -> None:
        """Record that a write of a resource has ended, or may be executed in the next seconds."""
        self._write_log.record(resource, self._clock() + uncertain_seconds)

    def _plan(self, operation: str) -> OperationPlan:
        plan = self._plans.get(operation)
        if plan is None:
            plan = self._plans[operation] = plan_operation(self.spec, operation)
        return plan


def _response(outcome: AwsResponse | Exception) -> AwsResponse:
    if isinstance(outcome, AwsResponse):
        return outcome
    if isinstance(outcome, errors.TaskgateError):
        raise outcome.copy()
    raise outcome
