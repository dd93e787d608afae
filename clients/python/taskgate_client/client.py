"""The blocking client: one channel, the unified tasks, and the stubs of both AWS services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.deadline.v1 import deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2_grpc
from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from taskgate_client.errors import CallError
from taskgate_client.names import TaskName

DEFAULT_TIME_LIMIT_SECONDS = 30.0


class Client:
    """A connection to Taskgate. Use it from as many threads as you like; close it in the end."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        self.deadline = deadline_pb2_grpc.DeadlineServiceStub(channel)
        """Every operation of AWS Deadline Cloud. `CallError.of` unpacks its errors."""
        self.omics = omics_pb2_grpc.OmicsServiceStub(channel)
        """Every operation of AWS HealthOmics. `CallError.of` unpacks its errors."""

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
        request = task_service_pb2.GetTaskRequest(name=str(name))
        if max_age is not None:
            request.max_age.FromTimedelta(timedelta(seconds=max_age))
        with _told():
            return self._tasks.GetTask(request, timeout=time_limit).task

    def get_server_info(
        self, *, time_limit: float = DEFAULT_TIME_LIMIT_SECONDS
    ) -> task_service_pb2.GetServerInfoResponse:
        """What the server is and which AWS services it can serve now.

        Raises:
            CallError: the server could not be asked.
        """
        request = task_service_pb2.GetServerInfoRequest()
        with _told():
            return self._tasks.GetServerInfo(request, timeout=time_limit)

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
        with _told():
            answer = self._health.Check(request, timeout=time_limit)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Ends the connection and the calls in flight on it."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(address: str) -> Client:
    """A client of the server at `address` (`host:port`), in plaintext.

    Nothing is sent until the first call, so a wrong address shows there.
    """
    return Client(grpc.insecure_channel(address))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise CallError.of(error) from None
