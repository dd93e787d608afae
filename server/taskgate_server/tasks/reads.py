"""The methods of TaskService that answer at once: one task, many, a list, a summary."""

from __future__ import annotations

from dataclasses import dataclass

from taskgate.v1 import task_service_pb2
from taskgate_server.calls import Call
from taskgate_server.tasks.backend import Backends
from taskgate_server.tasks.durations import seconds_of


@dataclass(frozen=True, slots=True)
class Reads:
    """What serves them; a method here is named after the RPC."""

    backends: Backends

    async def get_task(
        self, request: task_service_pb2.GetTaskRequest, call: Call
    ) -> task_service_pb2.GetTaskResponse:
        """TaskService.GetTask."""
        backend = self.backends.of(request.name, "name")
        max_age = seconds_of(request, "max_age")
        if max_age is not None:
            call.max_age = max_age
        return task_service_pb2.GetTaskResponse(task=await backend.get(request.name, call))
