"""The asyncio client: one channel, the unified tasks, and the stubs of both AWS services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.deadline.v1 import deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2_grpc
from taskgate.v1 import (
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    task_update_pb2,
    task_watch_pb2,
)
from taskgate_client import requests
from taskgate_client.aio.following import AsyncTaskLog, AsyncTaskWatch, wait
from taskgate_client.aio.listing import AsyncTaskListing
from taskgate_client.aio.streams import AsyncTiming
from taskgate_client.aio.uploads import AsyncLimitedChannel
from taskgate_client.errors import CallError, errors_told
from taskgate_client.names import ParentName, TaskName
from taskgate_client.parents import told_to_proxies
from taskgate_client.reconnects import Reconnects
from taskgate_client.requests import Action, State, View
from taskgate_client.time_limits import DEFAULT_TIME_LIMIT_SECONDS
from taskgate_client.waiting import WaitSession


class AsyncClient:
    """A connection to Taskgate, for one event loop; close it in the end.

    Each method is that of `taskgate_client.Client`, with the same arguments, results and errors.

    Args:
        channel: to the server; `taskgate_client.aio.connect` makes one.
        timing: where clock, sleep and chance come from.
    """

    def __init__(self, channel: grpc.aio.Channel, timing: AsyncTiming | None = None) -> None:
        self._channel = channel
        self._timing = timing or AsyncTiming()
        # The stubs' classes are for both kinds of channel; their types are the blocking ones.
        self._tasks: Any = task_service_pb2_grpc.TaskServiceStub(told_to_proxies(channel))
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        limited: Any = AsyncLimitedChannel(channel)
        self.deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(limited)
        """Every operation of AWS Deadline Cloud. `CallError.of` unpacks its errors. Unary calls end
        after 30 s unless their `timeout` says otherwise."""
        self.omics: Any = omics_pb2_grpc.OmicsServiceStub(limited)
        """Every operation of AWS HealthOmics; all else is as of `deadline`."""

    async def get_task(
        self,
        name: str | TaskName,
        *,
        max_age: float | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """One task of either AWS service."""
        with errors_told():
            answer = await self._tasks.GetTask(requests.get_task(name, max_age), timeout=time_limit)
        task: task_pb2.Task = answer.task
        return task

    async def batch_get_tasks(
        self,
        names: Iterable[str | TaskName],
        *,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        max_age: float | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> list[task_pb2.Task | CallError]:
        """Any number of tasks of both AWS services: for each name the task, or its error."""
        results: list[task_pb2.Task | CallError] = []
        for request in requests.batch_get_tasks(names, view, max_age):
            with errors_told():
                answer = await self._tasks.BatchGetTasks(request, timeout=time_limit)
            results.extend(
                CallError.of_status(each.error) if each.HasField("error") else each.task
                for each in answer.results
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
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> AsyncTaskListing:
        """The tasks of a queue, a job, a step or a run, as an asynchronous iterator."""
        request = requests.list_tasks(
            parent, filter=filter, view=view, page_size=page_size, max_age=max_age
        )
        return AsyncTaskListing(request, partial(self._tasks.ListTasks, timeout=time_limit))

    async def summarize_tasks(
        self,
        parent: str | ParentName,
        *,
        max_age: float | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_service_pb2.SummarizeTasksResponse:
        """How many tasks of a job, a step or a run are in which state."""
        request = task_service_pb2.SummarizeTasksRequest(
            parent=str(parent), max_age=requests.duration(max_age)
        )
        with errors_told():
            answer: task_service_pb2.SummarizeTasksResponse = await self._tasks.SummarizeTasks(
                request, timeout=time_limit
            )
        return answer

    def watch_tasks(
        self,
        watched: str | ParentName | Iterable[str | TaskName],
        *,
        until_settled: bool = False,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        heartbeat_interval: float | None = None,
        time_limit: float | None = None,
    ) -> AsyncTaskWatch:
        """The tasks of a parent, or those named, and every change of them, across breaks."""
        request = requests.watch_tasks(
            watched,
            view=view,
            until_settled=until_settled,
            heartbeat_interval=heartbeat_interval,
        )
        return AsyncTaskWatch(self._tasks, request, self._timing, time_limit)

    async def wait_task(
        self,
        name: str | TaskName,
        states: Iterable[State] = (),
        *,
        time_limit: float | None = None,
    ) -> task_watch_pb2.WaitTaskResponse:
        """Waits until a task is in one of the states, or has settled."""
        session = WaitSession(
            task_watch_pb2.WaitTaskRequest(name=str(name), states=states),
            time_limit=time_limit,
            now=self._timing.clock(),
            reconnects=Reconnects(self._timing.random),
        )
        return await wait(self._tasks, session, self._timing)

    async def cancel_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """Ends a task of Deadline Cloud."""
        request = task_update_pb2.CancelTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        return await self._updated(self._tasks.CancelTask, request, time_limit)

    async def retry_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """Queues a task of Deadline Cloud again."""
        request = task_update_pb2.RetryTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        return await self._updated(self._tasks.RetryTask, request, time_limit)

    async def suspend_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """Holds a task of Deadline Cloud."""
        request = task_update_pb2.SuspendTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        return await self._updated(self._tasks.SuspendTask, request, time_limit)

    async def batch_update_tasks(
        self,
        updates: Mapping[str, Action],
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> dict[str, CallError | None]:
        """Cancels, retries and suspends up to 1,000 tasks: by name the error of each, or None."""
        request = requests.batch_update_tasks(updates, request_id, reason)
        with errors_told():
            answer = await self._tasks.BatchUpdateTasks(request, timeout=time_limit)
        return {
            each.name: CallError.of_status(each.error) if each.HasField("error") else None
            for each in answer.results
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
        time_limit: float | None = None,
    ) -> AsyncTaskLog:
        """What a task has written to its log, and with `follow` what it goes on to write."""
        request = requests.stream_task_logs(
            name,
            follow=follow,
            since=since,
            limit=limit,
            tail=tail,
            attempt=attempt,
            heartbeat_interval=heartbeat_interval,
        )
        return AsyncTaskLog(self._tasks, request, self._timing, time_limit)

    async def get_server_info(
        self, *, time_limit: float = DEFAULT_TIME_LIMIT_SECONDS
    ) -> task_service_pb2.GetServerInfoResponse:
        """What the server is and which AWS services it can serve now."""
        request = task_service_pb2.GetServerInfoRequest()
        with errors_told():
            answer: task_service_pb2.GetServerInfoResponse = await self._tasks.GetServerInfo(
                request, timeout=time_limit
            )
        return answer

    async def is_serving(
        self, service: str = "", *, time_limit: float = DEFAULT_TIME_LIMIT_SECONDS
    ) -> bool:
        """Whether a gRPC service of the server, or the server as a whole, can be used now."""
        request = health_pb2.HealthCheckRequest(service=service)
        with errors_told():
            answer = await self._health.Check(request, timeout=time_limit)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Ends the connection and the calls in flight on it."""
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

    async def _updated(self, call: Any, request: Any, time_limit: float) -> task_pb2.Task:
        with errors_told():
            answer = await call(request, timeout=time_limit)
        task: task_pb2.Task = answer.task
        return task
