"""The asyncio client: unified tasks, and the stubs of the AWS services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.v1 import (
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    task_update_pb2,
    task_watch_pb2,
)
from taskgate_client import requests
from taskgate_client.aio.lifetime import AsyncLifetime, AsyncPauses
from taskgate_client.aio.streams import (
    AsyncClientParts,
    AsyncTaskLog,
    AsyncTaskWatch,
    AsyncTiming,
)
from taskgate_client.aio.uploads import AsyncStubChannel
from taskgate_client.aws_services import AsyncAwsServices
from taskgate_client.channels import DEFAULT_TIMEOUT_SECONDS, CallDefaults
from taskgate_client.connection import channel_options, open_channel
from taskgate_client.errors import CallError
from taskgate_client.listing import AsyncTaskListing
from taskgate_client.names import ParentName, TaskName
from taskgate_client.reconnects import Reconnects
from taskgate_client.requests import Action, State, View
from taskgate_client.security import BearerToken, Tls, Token
from taskgate_client.wait_session import WaitSession
from taskgate_client.writes import Writes

_Stub = TypeVar("_Stub")


def connect(  # noqa: PLR0913  # independent options
    address: str,
    *,
    tls: Tls | None = None,
    token: Token | None = None,
    target: str = "",
    balance: bool = False,
    retried: Iterable[str] = (),
    timing: AsyncTiming | None = None,
) -> AsyncClient:
    """Return a client of the server at `address`; see `taskgate_client.connect`.

    Call it within a running event loop.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    options = channel_options(tls, balance=balance, retried=retried)
    channel = open_channel(
        tls,
        token,
        lambda: grpc.aio.insecure_channel(address, options),
        lambda credentials: grpc.aio.secure_channel(address, credentials, options),
    )
    return AsyncClient(channel, token=token, target=target, timing=timing)


class AsyncClient(AsyncAwsServices):
    """A connection to Taskgate, for one event loop; close it after use.

    Its methods are those of `taskgate_client.Client`, with the same arguments, results and errors.

    Args:
        channel: to the server; `connect` makes one.
        timing: the clock, pauses and randomness.
        token: see `connect`; only for an encrypted channel.
        target: the AWS account and region to call, by the name that the server gives it.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        token: Token | None = None,
        target: str = "",
        timing: AsyncTiming | None = None,
    ) -> None:
        self._channel = channel
        self._timing = timing or AsyncTiming()
        self._lifetime = AsyncLifetime()
        self._parts = AsyncClientParts(timing=self._timing, lifetime=self._lifetime)
        calls = CallDefaults(Writes(self._timing.clock), self._lifetime, BearerToken(token), target)
        tasks: Any = AsyncStubChannel(channel, calls, sends_parent=True)
        others: Any = AsyncStubChannel(channel, calls)
        # The stubs accept both kinds of channel; their types are those of the blocking one.
        self._tasks: Any = task_service_pb2_grpc.TaskServiceStub(tasks)
        self._health: Any = health_pb2_grpc.HealthStub(others)
        self._others = others
        super().__init__(others)

    def stub(self, stub_class: Callable[[Any], _Stub]) -> _Stub:
        """Return a stub of any service; see `taskgate_client.Client.stub`."""
        return stub_class(self._others)

    async def get_task(
        self,
        name: str | TaskName,
        *,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Return a task of either AWS service."""
        with self._lifetime.call_errors():
            response = await self._tasks.GetTask(
                requests.get_task(name, view, max_age), timeout=timeout
            )
        task: task_pb2.Task = response.task
        return task

    async def batch_get_tasks(
        self,
        names: Iterable[str | TaskName],
        *,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> list[task_pb2.Task | CallError]:
        """Return any number of tasks of all AWS services: for each name the task, or its error."""
        results: list[task_pb2.Task | CallError] = []
        for request in requests.batch_get_tasks(names, view, max_age):
            with self._lifetime.call_errors():
                response = await self._tasks.BatchGetTasks(request, timeout=timeout)
            results.extend(
                CallError.of_status(each.error) if each.HasField("error") else each.task
                for each in response.results
            )
        return results

    def list_tasks(
        self,
        parent: str | ParentName,
        *,
        filter: str = "",  # noqa: A002  # AIP-160's own name for it
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        page_size: int = 0,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> AsyncTaskListing:
        """List the tasks of a queue, job, step or run, as an asynchronous iterator."""
        request = requests.list_tasks(
            parent, filter=filter, view=view, page_size=page_size, max_age=max_age
        )

        async def fetch(
            page: task_service_pb2.ListTasksRequest,
        ) -> task_service_pb2.ListTasksResponse:
            with self._lifetime.call_errors():
                response: task_service_pb2.ListTasksResponse = await self._tasks.ListTasks(
                    page, timeout=timeout
                )
            return response

        return AsyncTaskListing(request, fetch)

    async def summarize_tasks(
        self,
        parent: str | ParentName,
        *,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_service_pb2.SummarizeTasksResponse:
        """Count the tasks of a job, step or run by state."""
        request = task_service_pb2.SummarizeTasksRequest(
            parent=str(parent), max_age=requests.duration(max_age)
        )
        with self._lifetime.call_errors():
            response: task_service_pb2.SummarizeTasksResponse = await self._tasks.SummarizeTasks(
                request, timeout=timeout
            )
        return response

    def watch_tasks(
        self,
        parent_or_names: str | ParentName | Iterable[str | TaskName],
        *,
        until_settled: bool = False,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        heartbeat_interval: float | None = None,
        timeout: float | None = None,
    ) -> AsyncTaskWatch:
        """Watch tasks: a snapshot first, then every change."""
        request = requests.watch_tasks(
            parent_or_names,
            view=view,
            until_settled=until_settled,
            heartbeat_interval=heartbeat_interval,
        )
        return AsyncTaskWatch(self._tasks.WatchTasks, request, self._parts, timeout)

    async def wait_task(
        self,
        name: str | TaskName,
        states: Iterable[State] = (),
        *,
        timeout: float | None = None,
    ) -> task_watch_pb2.WaitTaskResponse:
        """Wait until a task is in one of the states, or has settled."""
        session = WaitSession(
            task_watch_pb2.WaitTaskRequest(name=str(name), states=states),
            timeout=timeout,
            now=self._timing.clock(),
            reconnects=Reconnects(self._timing.random),
        )
        clock, pauses = self._timing.clock, AsyncPauses(self._timing.sleep)
        self._lifetime.add(pauses)
        while True:
            request, seconds = session.request(clock())
            try:
                with self._lifetime.call_errors():
                    response = await self._tasks.WaitTask(request, timeout=seconds)
                pause = session.take(response, clock())
            except CallError as error:
                pause = session.fail(error, clock())
            if pause is None:
                return session.last_response()
            await pauses.pause(pause)

    async def cancel_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Cancel a task of Deadline Cloud."""
        request = task_update_pb2.CancelTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        return await self._update(self._tasks.CancelTask, request, timeout)

    async def retry_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Queue a task of Deadline Cloud again."""
        request = task_update_pb2.RetryTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        return await self._update(self._tasks.RetryTask, request, timeout)

    async def suspend_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Suspend a task of Deadline Cloud."""
        request = task_update_pb2.SuspendTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        return await self._update(self._tasks.SuspendTask, request, timeout)

    async def batch_update_tasks(
        self,
        updates: Mapping[str, Action],
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> dict[str, CallError | None]:
        """Cancel, retry and suspend up to 1,000 tasks; return each error, or None, by name."""
        request = requests.batch_update_tasks(updates, request_id, reason)
        with self._lifetime.call_errors():
            response = await self._tasks.BatchUpdateTasks(request, timeout=timeout)
        return {
            each.name: CallError.of_status(each.error) if each.HasField("error") else None
            for each in response.results
        }

    def stream_task_logs(  # noqa: PLR0913  # the request has that many fields; one is required
        self,
        name: str | TaskName,
        *,
        follow: bool = False,
        since: datetime | None = None,
        limit: int = 0,
        tail: int = 0,
        attempt: int | None = None,
        heartbeat_interval: float | None = None,
        timeout: float | None = None,
    ) -> AsyncTaskLog:
        """Read the log of a task, as an asynchronous iterator over lines."""
        request = requests.stream_task_logs(
            name,
            follow=follow,
            since=since,
            limit=limit,
            tail=tail,
            attempt=attempt,
            heartbeat_interval=heartbeat_interval,
        )
        return AsyncTaskLog(self._tasks.StreamTaskLogs, request, self._parts, timeout)

    async def get_server_info(
        self, *, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> task_service_pb2.GetServerInfoResponse:
        """Return the server's version, and which AWS services it can call now."""
        request = task_service_pb2.GetServerInfoRequest()
        with self._lifetime.call_errors():
            response: task_service_pb2.GetServerInfoResponse = await self._tasks.GetServerInfo(
                request, timeout=timeout
            )
        return response

    async def is_serving(
        self, service: str = "", *, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> bool:
        """Return whether the server, or one of its gRPC services, is serving."""
        request = health_pb2.HealthCheckRequest(service=service)
        with self._lifetime.call_errors():
            response = await self._health.Check(request, timeout=timeout)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the connection and end its calls, watches, logs and waits with `ClosedError`."""
        self._lifetime.close()
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _update(self, call: Any, request: Any, timeout: float) -> task_pb2.Task:
        with self._lifetime.call_errors():
            response = await call(request, timeout=timeout)
        task: task_pb2.Task = response.task
        return task
