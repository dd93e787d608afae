"""Logs of the demo's own Deadline Cloud tasks, through all of Taskgate."""

from __future__ import annotations

import pytest

from taskgate.v1 import task_service_pb2_grpc
from taskgate_emulator.seeds import ids as seed
from tests.emulator.test_emulated_tasks import aws, stub  # noqa: F401 fixtures
from tests.tasks.logs.test_logs import JOB, QUEUE_GROUP, Request, received

RENDER = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks"


@pytest.mark.parametrize(("attempt", "code"), [(1, 1), (2, 0), (None, 0)])
def test_each_attempt_has_its_log(
    stub: task_service_pb2_grpc.TaskServiceStub,  # noqa: F811 a fixture
    attempt: int | None,
    code: int,
) -> None:
    request = Request(name=f"{RENDER}/{seed.RETRIED_TASK_ID}", attempt=attempt)
    source, messages = received(stub.StreamTaskLogs(request))
    assert source.log_group == QUEUE_GROUP
    assert messages[0] == f"Running task {seed.RETRIED_TASK_ID}"
    assert messages[-1] == f"Process exited with code {code}"
    assert "openjd_progress: 50.0" in messages
