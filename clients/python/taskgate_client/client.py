"""The blocking client: unified tasks, and the stubs of the AWS services."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

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
from taskgate_client.aws_services import AwsServices
from taskgate_client.channels import DEFAULT_TIMEOUT_SECONDS, CallDefaults, StubChannel
from taskgate_client.errors import CallError
from taskgate_client.lifetime import Lifetime, Pauses
from taskgate_client.listing import TaskListing
from taskgate_client.names import ParentName, TaskName
from taskgate_client.reconnects import Reconnects
from taskgate_client.requests import Action, State, View
from taskgate_client.security import BearerToken, Token
from taskgate_client.streams import ClientParts, TaskLog, TaskWatch, Timing
from taskgate_client.wait_session import WaitSession
from taskgate_client.watchdog import Watchdog
from taskgate_client.writes import Writes

_Stub = TypeVar("_Stub")


class Client(AwsServices):
    """A connection to Taskgate. It is thread-safe; close it after use.

    Args:
        channel: to the server; `taskgate_client.connect` makes one.
        timing: the clock, pauses and randomness.
        token: see `connect`; only for an encrypted channel.
        target: the AWS account and region to call, by the name that the server gives it.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        token: Token | None = None,
        target: str = "",
        timing: Timing | None = None,
    ) -> None:
        self._channel = channel
        self._timing = timing or Timing()
        self._lifetime = Lifetime()
        watchdog = Watchdog(self._timing.clock)
        weakref.finalize(self, watchdog.stop).atexit = False
        self._parts = ClientParts(timing=self._timing, lifetime=self._lifetime, watchdog=watchdog)
        # The stubs use only the methods of a channel that StubChannel has.
        calls = CallDefaults(Writes(self._timing.clock), self._lifetime, BearerToken(token), target)
        tasks = cast(grpc.Channel, StubChannel(channel, calls, sends_parent=True))
        others = cast(grpc.Channel, StubChannel(channel, calls))
        self._tasks = task_service_pb2_grpc.TaskServiceStub(tasks)
        self._health: Any = health_pb2_grpc.HealthStub(others)  # its types lack the methods
        self._others = others
        super().__init__(others)

    def stub(self, stub_class: Callable[[grpc.Channel], _Stub]) -> _Stub:
        """Return a stub of any service of the server, such as that of a plug-in.

        Its calls have the connection, token, target and default timeout of this client. They raise
        `grpc.RpcError`, which `CallError.of` converts.

        Args:
            stub_class: the generated class, such as `batch_pb2_grpc.BatchServiceStub`.
        """
        return stub_class(self._others)

    def get_task(
        self,
        name: str | TaskName,
        *,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Return a task of either AWS service.

        Args:
            name: the task's name, as a string or as a `DeadlineTaskName` or `OmicsTaskName`.
            view: the fields of the task; unspecified is FULL. With BASIC the response may come from
                a list of tasks, which saves calls to AWS.
            max_age: maximum age of the response in seconds; 0 always queries AWS, None is the
                server's default. `Task.observe_time` is when AWS returned the task.
            timeout: of the call, in seconds.

        Raises:
            CallError: the call failed, such as with INVALID_ARGUMENT or NOT_FOUND.
        """
        with self._lifetime.call_errors():
            request = requests.get_task(name, view, max_age)
            return self._tasks.GetTask(request, timeout=timeout).task

    def batch_get_tasks(
        self,
        names: Iterable[str | TaskName],
        *,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> list[task_pb2.Task | CallError]:
        """Return any number of tasks of all AWS services.

        Args:
            names: the names of the tasks; a name may occur more than once.
            view: the fields of each task; unspecified is FULL.
            max_age: see `get_task`.
            timeout: of each call, in seconds; a call requests up to 1,000 tasks.

        Returns:
            For each name, in order, the task, or the error that `get_task` would raise.

        Raises:
            CallError: a call failed as a whole.
        """
        results: list[task_pb2.Task | CallError] = []
        for request in requests.batch_get_tasks(names, view, max_age):
            with self._lifetime.call_errors():
                response = self._tasks.BatchGetTasks(request, timeout=timeout)
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
    ) -> TaskListing:
        """List the tasks of a queue, job, step or run.

        Args:
            parent: its name, as a string or as a `DeadlineJobName` or similar.
            filter: an expression such as `state = FAILED`; docs/filters.md has the grammar.
            view: the fields of each task; unspecified is BASIC.
            page_size: tasks per call; 0 is the server's default.
            max_age: of each page; see `get_task`.
            timeout: of the call for each page, in seconds.

        Returns:
            An iterator over the tasks, which fetches pages as needed. It raises CallError.
        """
        request = requests.list_tasks(
            parent, filter=filter, view=view, page_size=page_size, max_age=max_age
        )

        def fetch(page: task_service_pb2.ListTasksRequest) -> task_service_pb2.ListTasksResponse:
            with self._lifetime.call_errors():
                return self._tasks.ListTasks(page, timeout=timeout)

        return TaskListing(request, fetch)

    def summarize_tasks(
        self,
        parent: str | ParentName,
        *,
        max_age: float | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_service_pb2.SummarizeTasksResponse:
        """Count the tasks of a job, step or run by state.

        Args:
            parent: its name.
            max_age: see `get_task`.
            timeout: of the call, in seconds.

        Returns:
            The counts, and in `parent_status` the state of the job, step or run itself, with the
            reason if it failed.

        Raises:
            CallError: the call failed, such as with INVALID_ARGUMENT or NOT_FOUND.
        """
        request = task_service_pb2.SummarizeTasksRequest(
            parent=str(parent), max_age=requests.duration(max_age)
        )
        with self._lifetime.call_errors():
            return self._tasks.SummarizeTasks(request, timeout=timeout)

    def watch_tasks(
        self,
        parent_or_names: str | ParentName | Iterable[str | TaskName],
        *,
        until_settled: bool = False,
        view: View = task_pb2.TASK_VIEW_UNSPECIFIED,
        heartbeat_interval: float | None = None,
        timeout: float | None = None,
    ) -> TaskWatch:
        """Watch tasks: a snapshot first, then every change.

        When the connection breaks, the server restarts, or three heartbeats are missed, the client
        reconnects and resumes the watch: after a `Reconnecting` comes `Resumed`, or another
        `Snapshot`.

        Args:
            parent_or_names: the name of a job, step or run, or the names of tasks.
            until_settled: end when nothing changes until a caller acts: the parent has ended, and
                every task has settled or can never settle.
            view: the fields of each task; unspecified is BASIC.
            heartbeat_interval: seconds, from 1 to 60; None for the default of 10.
            timeout: seconds for the whole watch; None for no limit.

        Returns:
            An iterator over `WatchEvent`s. Close it, or use it in a `with`, to end the watch. It
            raises CallError if the server refuses the call, is unreachable at the first attempt or
            for several minutes, and DEADLINE_EXCEEDED after the timeout.
        """
        request = requests.watch_tasks(
            parent_or_names,
            view=view,
            until_settled=until_settled,
            heartbeat_interval=heartbeat_interval,
        )
        return TaskWatch(self._tasks.WatchTasks, request, self._parts, timeout)

    def wait_task(
        self,
        name: str | TaskName,
        states: Iterable[State] = (),
        *,
        timeout: float | None = None,
    ) -> task_watch_pb2.WaitTaskResponse:
        """Wait until a task is in one of the states, or has settled.

        The client makes as many calls as it takes, also across restarts of the server.

        Args:
            name: the task's name.
            states: to wait for; empty for the settled states.
            timeout: seconds; None for no limit.

        Returns:
            The task, and `done`: whether it is in one of the states, has settled in another one, or
            can never settle because its run or job has ended, which `parent_status` then describes.
            False means that the wait timed out.

        Raises:
            CallError: NOT_FOUND, also if the task is deleted during the wait; DEADLINE_EXCEEDED if
                the wait timed out without any response; or another error of a call.
        """
        session = WaitSession(
            task_watch_pb2.WaitTaskRequest(name=str(name), states=states),
            timeout=timeout,
            now=self._timing.clock(),
            reconnects=Reconnects(self._timing.random),
        )
        clock, pauses = self._timing.clock, Pauses(self._timing.wait)
        self._lifetime.add(pauses)
        while True:
            request, seconds = session.request(clock())
            try:
                with self._lifetime.call_errors():
                    response = self._tasks.WaitTask(request, timeout=seconds)
                pause = session.take(response, clock())
            except CallError as error:
                pause = session.fail(error, clock())
            if pause is None:
                return session.last_response()
            pauses.pause(pause)

    def cancel_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Cancel a task of Deadline Cloud.

        Args:
            name: the task's name.
            reason: for the server's log.
            request_id: makes the call idempotent: AWS acts once on calls with the same id.
            timeout: of the call, in seconds.

        Returns:
            The task; `target_state` is the state that it will have.

        Raises:
            CallError: FAILED_PRECONDITION if the task's state does not allow it, and for
                HealthOmics, which can only cancel whole runs.
        """
        request = task_update_pb2.CancelTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        with self._lifetime.call_errors():
            return self._tasks.CancelTask(request, timeout=timeout).task

    def retry_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Queue a task of Deadline Cloud again; see `cancel_task`."""
        request = task_update_pb2.RetryTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        with self._lifetime.call_errors():
            return self._tasks.RetryTask(request, timeout=timeout).task

    def suspend_task(
        self,
        name: str | TaskName,
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> task_pb2.Task:
        """Suspend a task of Deadline Cloud; see `cancel_task`."""
        request = task_update_pb2.SuspendTaskRequest(
            name=str(name), request_id=request_id, reason=reason
        )
        with self._lifetime.call_errors():
            return self._tasks.SuspendTask(request, timeout=timeout).task

    def batch_update_tasks(
        self,
        updates: Mapping[str, Action],
        *,
        reason: str = "",
        request_id: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> dict[str, CallError | None]:
        """Cancel, retry and suspend up to 1,000 tasks.

        Args:
            updates: the action for each task, by the task's name.
            reason: for the server's log.
            request_id: makes the call idempotent; see `cancel_task`.
            timeout: of the call, in seconds.

        Returns:
            By the task's name, the error that the single method would raise, or None.

        Raises:
            CallError: the call failed as a whole, without any update.
        """
        request = requests.batch_update_tasks(updates, request_id, reason)
        with self._lifetime.call_errors():
            response = self._tasks.BatchUpdateTasks(request, timeout=timeout)
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
    ) -> TaskLog:
        """Read the log of a task.

        When the connection breaks, the client calls again and continues; it returns no line twice.

        Args:
            name: the task's name.
            follow: continue until the task has settled and its whole log was read.
            since: only lines of this time or later; timezone-aware.
            limit: maximum number of lines; 0 for no limit.
            tail: start with at most this many of the existing lines; 0 for all of them.
            attempt: which attempt at the task, from 1; None for the latest.
            heartbeat_interval: with `follow`, seconds from 1 to 60; None for the default of 10. The
                client calls again after three missed heartbeats.
            timeout: seconds for the whole log; None for no limit.

        Returns:
            An iterator over lines. Close it, or use it in a `with`, to end the call. It raises
            CallError.
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
        return TaskLog(self._tasks.StreamTaskLogs, request, self._parts, timeout)

    def get_server_info(
        self, *, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> task_service_pb2.GetServerInfoResponse:
        """Return the server's version, and which AWS services it can call now.

        Raises:
            CallError: the call failed.
        """
        with self._lifetime.call_errors():
            return self._tasks.GetServerInfo(
                task_service_pb2.GetServerInfoRequest(), timeout=timeout
            )

    def is_serving(self, service: str = "", *, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> bool:
        """Return whether the server, or one of its gRPC services, is serving.

        Args:
            service: full name, such as `taskgate.v1.TaskService`; empty for the server as a whole.
            timeout: of the call, in seconds.

        Raises:
            CallError: the call failed, such as with NOT_FOUND for an unknown service.
        """
        request = health_pb2.HealthCheckRequest(service=service)
        with self._lifetime.call_errors():
            status = self._health.Check(request, timeout=timeout).status
        return bool(status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Close the connection and end its calls, watches, logs and waits with `ClosedError`."""
        self._lifetime.close()
        self._parts.watchdog.stop()
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
