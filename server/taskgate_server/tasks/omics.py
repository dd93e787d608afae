"""AWS HealthOmics' run tasks as `Task`: the steps of a workflow run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2
from taskgate_server.tasks.backend import NoVerbs, State, TaskBackend, present, state_of
from taskgate_server.tasks.names import NameTemplate

NAMES: Final = NameTemplate("omics/runs/{id}/tasks/{taskId}", "omics", "GetRunTask", ("runs",))

# What the words mean: https://docs.aws.amazon.com/omics/latest/dev/workflow-run-tasks.html
STATES: Final[Mapping[str, State]] = {
    "PENDING": task_pb2.TASK_STATE_PENDING,
    "STARTING": task_pb2.TASK_STATE_STARTING,
    "RUNNING": task_pb2.TASK_STATE_RUNNING,
    "STOPPING": task_pb2.TASK_STATE_STOPPING,
    "COMPLETED": task_pb2.TASK_STATE_SUCCEEDED,
    "FAILED": task_pb2.TASK_STATE_FAILED,
    "CANCELLED": task_pb2.TASK_STATE_CANCELLED,
}

SAME: Final = {
    "display_name": "name",
    "create_time": "creation_time",
    "start_time": "start_time",
    "end_time": "stop_time",
    "status_message": "status_message",
    "failure_reason": "failure_reason",
}
"""Fields of Task that are a field of AWS's answer: ours to AWS's."""

RESOURCES: Final = {
    "cpus": "cpus",
    "memory_gib": "memory",
    "gpus": "gpus",
    "instance_type": "instance_type",
}
"""The same for TaskResources."""


class Tasks(TaskBackend):
    """The tasks of HealthOmics."""

    names = NAMES
    # It ends whole runs only:
    # https://docs.aws.amazon.com/omics/latest/dev/canceling-runs.html
    verbs = NoVerbs(alternative="CancelRun")

    def to_task(self, answer: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """See `TaskBackend.to_task`."""
        assert isinstance(native, omics_pb2.GetRunTaskResponse)  # noqa: S101  # for mypy
        word = answer.get("status")
        task = task_pb2.Task(
            state=state_of(word, STATES),
            native_state=word or "",
            omics=native,
            **present(native, SAME),
        )
        resources = present(native, RESOURCES)
        if resources:
            task.resources.CopyFrom(task_pb2.TaskResources(**resources))
        return task
