"""The blocking client: one channel, the unified tasks, and the stubs of both AWS services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
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
from taskgate_client import following, requests
from taskgate_client.errors import CallError, errors_told
from taskgate_client.following import TaskLog, TaskWatch
from taskgate_client.listing import TaskListing
from taskgate_client.names import ParentName, TaskName
from taskgate_client.parents import told_to_proxies
from taskgate_client.reconnects import Reconnects
from taskgate_client.requests import Action, State, View
from taskgate_client.streams import Timing
from taskgate_client.time_limits import DEFAULT_TIME_LIMIT_SECONDS, LimitedChannel
from taskgate_client.waiting import WaitSession


class Client:
    """A connection to Taskgate. Use it from as many threads as you like; close it in the end.

    `taskgate_client.connect` makes its `channel`; `timing` has clock, sleep and randomness.
    """

    def __init__(self, channel: grpc.Channel, timing: Timing | None = None) -> None:
        self._channel = channel
        self._timing = timing or Timing()
        self._tasks = task_service_pb2_grpc.TaskServiceStub(told_to_proxies(channel))
        self._health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        limited: Any = LimitedChannel(channel)
        self.deadline = deadline_pb2_grpc.DeadlineServiceStub(limited)
        """Every operation of AWS Deadline Cloud. `CallError.of` unpacks its errors. Unary calls end
        after 30 s unless their `timeout` says otherwise."""
        self.omics = omics_pb2_grpc.OmicsServiceStub(limited)
        """Every operation of AWS HealthOmics; all else is as of `deadline`."""

    def get_task(
        self,
        name: str | TaskName,
        *,
        max_age: float | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """One task of either AWS service.

        Args:
            name: the task's name, as text or built with `DeadlineTaskName` or `OmicsTaskName`.
            max_age: seconds that the answer may be old; 0 has AWS asked, None leaves it to the
                server. `Task.observe_time` tells when AWS gave the answer.
            time_limit: seconds to wait at most.

        Raises:
            CallError: INVALID_ARGUMENT, NOT_FOUND, or whatever went wrong.
        """
        with errors_told():
            request = requests.get_task(name, max_age)
            return self._tasks.GetTask(request, timeout=time_limit).task

    def batch_get_tasks(
        self,
        names: Iterable[str | TaskName],
        *,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        max_age: float | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> list[task_pb2.Task | CallError]:
        """Any number of tasks of both AWS services.

        Args:
            names: the tasks' names; one may be there more than once.
            view: how much to tell of each; unspecified is FULL.
            max_age: as of `get_task`.
            time_limit: seconds for each thousand names.

        Returns:
            For each name, in their order, the task, or the error that `get_task` would have raised.

        Raises:
            CallError: none of them could be had.
        """
        results: list[task_pb2.Task | CallError] = []
        for request in requests.batch_get_tasks(names, view, max_age):
            with errors_told():
                answer = self._tasks.BatchGetTasks(request, timeout=time_limit)
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
    ) -> TaskListing:
        """The tasks of a queue, a job, a step or a run; asks for page after page by itself.

        Args:
            parent: its name, as text or built with `DeadlineJobName` and its like.
            filter: which tasks, such as `state = FAILED`; docs/filters.md has the grammar.
            view: how much to tell of each; unspecified is BASIC.
            page_size: how many to ask for at once; 0 leaves it to the server.
            max_age: as of `get_task`, for each page.
            time_limit: seconds for each page.

        Returns:
            An iterator over the tasks, which raises CallError as `get_task` does.
        """
        request = requests.list_tasks(
            parent, filter=filter, view=view, page_size=page_size, max_age=max_age
        )
        ask = partial(self._tasks.ListTasks, timeout=time_limit)
        return TaskListing(request, ask)

    def summarize_tasks(
        self,
        parent: str | ParentName,
        *,
        max_age: float | None = None,
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_service_pb2.SummarizeTasksResponse:
        """How many tasks of a job, a step or a run are in which state.

        `parent_status` of the response has the state of the job, step or run itself, and the reason
        if it failed.

        Args:
            parent: its name.
            max_age: as of `get_task`.
            time_limit: seconds to wait at most.

        Raises:
            CallError: INVALID_ARGUMENT, NOT_FOUND, or whatever went wrong.
        """
        request = task_service_pb2.SummarizeTasksRequest(
            parent=str(parent), max_age=requests.duration(max_age)
        )
        with errors_told():
            return self._tasks.SummarizeTasks(request, timeout=time_limit)

    def watch_tasks(
        self,
        watched: str | ParentName | Iterable[str | TaskName],
        *,
        until_settled: bool = False,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        heartbeat_interval: float | None = None,
        time_limit: float | None = None,
    ) -> TaskWatch:
        """The tasks of a parent, or those named, and every change of them.

        When the connection breaks, the server is started anew, or nothing is heard for three
        heartbeats, the watch goes on by itself where it was: a `Reconnecting` tells of it, then
        `Resumed`, or a new `Snapshot`.

        Args:
            watched: the name of a job, a step or a run, or the names of tasks.
            until_settled: whether to end when nothing changes until a caller acts: the parent has
                ended, and every task has settled or can never settle. The `WatchEnd` has the state
                of the parent itself.
            view: how much to tell of each; unspecified is BASIC.
            heartbeat_interval: seconds from 1 to 60; 10 if None.
            time_limit: seconds for all of it; None for no limit.

        Returns:
            An iterator over events: a `Snapshot` first, then `TaskChange`s and others. Close it, or
            use it in a `with`, to end the watch. It raises CallError when the server was not
            reached at all, has not been for minutes, or refuses, and when the time is up.
        """
        request = requests.watch_tasks(
            watched,
            view=view,
            until_settled=until_settled,
            heartbeat_interval=heartbeat_interval,
        )
        return TaskWatch(self._tasks, request, self._timing, time_limit)

    def wait_task(
        self,
        name: str | TaskName,
        states: Iterable[State] = (),
        *,
        time_limit: float | None = None,
    ) -> task_watch_pb2.WaitTaskResponse:
        """Waits until a task is in one of the states, or has settled.

        Asks again as often as it takes, also across restarts of the server.

        Args:
            name: the task's name.
            states: those to wait for; empty for the settled ones.
            time_limit: seconds; None to wait for ever.

        Returns:
            The task, and `done`: whether it is in one of the states, has settled in another one, or
            can never settle because its run or job has ended, which `parent_status` then describes.
            Not done: the time is up.

        Raises:
            CallError: NOT_FOUND, also when the task vanishes while it is waited for, or whatever
                went wrong; DEADLINE_EXCEEDED when the time is up and the task was never seen.
        """
        session = WaitSession(
            task_watch_pb2.WaitTaskRequest(name=str(name), states=states),
            time_limit=time_limit,
            now=self._timing.clock(),
            reconnects=Reconnects(self._timing.random),
        )
        return following.wait(self._tasks, session, self._timing)

    def cancel_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """Ends a task of Deadline Cloud.

        Args:
            name: the task's name.
            reason: why, for the server's log.
            request_id: makes it safe to call again with the same one: AWS acts once.
            time_limit: seconds to wait at most.

        Returns:
            The task; `target_state` tells where it goes while it is on its way.

        Raises:
            CallError: FAILED_PRECONDITION where the task's state forbids it, and for HealthOmics,
                which cancels whole runs only.
        """
        request = task_update_pb2.CancelTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        with errors_told():
            return self._tasks.CancelTask(request, timeout=time_limit).task

    def retry_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """Queues a task of Deadline Cloud again; all else is as in `cancel_task`."""
        request = task_update_pb2.RetryTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        with errors_told():
            return self._tasks.RetryTask(request, timeout=time_limit).task

    def suspend_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> task_pb2.Task:
        """Holds a task of Deadline Cloud; all else is as in `cancel_task`."""
        request = task_update_pb2.SuspendTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        with errors_told():
            return self._tasks.SuspendTask(request, timeout=time_limit).task

    def batch_update_tasks(
        self,
        updates: Mapping[str, Action],
        *,
        reason: str = "",
        request_id: str = "",
        time_limit: float = DEFAULT_TIME_LIMIT_SECONDS,
    ) -> dict[str, CallError | None]:
        """Cancels, retries and suspends up to 1,000 tasks.

        Args:
            updates: what to do, by the task's name.
            reason: as of `cancel_task`, for all of them.
            request_id: as of `cancel_task`, for all of them.
            time_limit: seconds to wait at most.

        Returns:
            By the task's name, the error that the single method would have raised, or None.

        Raises:
            CallError: nothing was done.
        """
        request = requests.batch_update_tasks(updates, request_id, reason)
        with errors_told():
            answer = self._tasks.BatchUpdateTasks(request, timeout=time_limit)
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
    ) -> TaskLog:
        """What a task has written to its log, and with `follow` what it goes on to write.

        Goes on by itself when the connection breaks; no line is told twice.

        Args:
            name: the task's name.
            follow: whether to continue until the task has settled and all of its log was read.
            since: only lines of then or later; aware.
            limit: the most lines to tell; 0 for no limit.
            tail: only so many of the lines that there are at first; 0 for all.
            attempt: which attempt at the task, from 1; None for the latest.
            heartbeat_interval: with `follow`, seconds from 1 to 60; 10 if None. After three
                heartbeats that did not come the client calls again.
            time_limit: seconds for all of it; None for no limit.

        Returns:
            An iterator over lines, to be closed like a watch. It raises CallError.
        """
        request = requests.stream_task_logs(
            name,
            follow=follow,
            since=since,
            limit=limit,
            tail=tail,
            attempt=attempt,
            heartbeat_interval=heartbeat_interval,
        )
        return TaskLog(self._tasks, request, self._timing, time_limit)

    def get_server_info(
        self, *, time_limit: float = DEFAULT_TIME_LIMIT_SECONDS
    ) -> task_service_pb2.GetServerInfoResponse:
        """What the server is and which AWS services it can serve now.

        Raises:
            CallError: the server could not be asked.
        """
        with errors_told():
            return self._tasks.GetServerInfo(
                task_service_pb2.GetServerInfoRequest(), timeout=time_limit
            )

    def is_serving(
        self, service: str = "", *, time_limit: float = DEFAULT_TIME_LIMIT_SECONDS
    ) -> bool:
        """Whether a gRPC service of the server, or the server as a whole, can be used now.

        Args:
            service: full name, such as `taskgate.v1.TaskService`; empty for the whole.
            time_limit: seconds to wait at most.

        Raises:
            CallError: the server could not be asked, or has no such service.
        """
        request = health_pb2.HealthCheckRequest(service=service)
        with errors_told():
            status = self._health.Check(request, timeout=time_limit).status
        return bool(status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Ends the connection and the calls in flight on it."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
