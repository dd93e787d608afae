"""`taskgate cancel`, `retry` and `suspend`."""

from __future__ import annotations

import io
from collections.abc import Callable

import grpc
import pytest

from taskgate.v1 import (
    task_update_pb2,
)
from tests.client.conftest import Run, json_lines
from tests.support.fake_service import (
    RUN,
    FakeTaskService,
    page,
    status,
    task,
)


def updated(*refused: str) -> Callable[..., task_update_pb2.BatchUpdateTasksResponse]:
    forbidden = status(grpc.StatusCode.FAILED_PRECONDITION, "its state forbids it")

    def respond(
        request: task_update_pb2.BatchUpdateTasksRequest,
    ) -> task_update_pb2.BatchUpdateTasksResponse:
        return task_update_pb2.BatchUpdateTasksResponse(
            results=[
                task_update_pb2.TaskUpdateResult(
                    name=each.name, error=forbidden if each.name in refused else None
                )
                for each in request.updates
            ]
        )

    return respond


@pytest.mark.parametrize("action", ["cancel", "retry", "suspend"])
def test_update_commands_send_one_batch_and_print_each_result(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    fake.script("BatchUpdateTasks", updated("b"))
    assert run(action, "a", "a", "--reason", "wrong camera") == 0
    assert capsys.readouterr().out == f"{action}: a\n"
    (request,) = fake.requests["BatchUpdateTasks"]
    value = task_update_pb2.TaskAction.Value(f"TASK_ACTION_{action.upper()}")
    assert [(each.name, each.action) for each in request.updates] == [("a", value)]
    assert request.reason == "wrong camera"
    assert request.request_id
    assert run(action, "a", "b") == 1
    printed = capsys.readouterr()
    assert "its state forbids it" in printed.err
    assert run(action, "a", "b", "--json") == 1
    accepted, refused = json_lines(capsys.readouterr().out)
    assert accepted == {"name": "a", "error": None}
    assert isinstance(refused["error"], dict)
    assert refused["error"]["code"] == "FAILED_PRECONDITION"


def test_an_update_of_a_parent_needs_confirmation(
    run: Run,
    fake: FakeTaskService,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake.script("ListTasks", page(*(task(number) for number in range(1_001))))
    fake.script("BatchUpdateTasks", updated())
    arguments = ("retry", "--parent", RUN, "--filter", "state = FAILED")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # no terminal
    assert run(*arguments) == 2
    assert "this affects 1001 tasks; confirm with --yes" in capsys.readouterr().err
    assert not fake.requests["BatchUpdateTasks"]
    assert run(*arguments, "--yes") == 0
    assert [len(each.updates) for each in fake.requests["BatchUpdateTasks"]] == [1_000, 1]
    assert fake.requests["ListTasks"][-1].filter == "state = FAILED"
    terminal = io.StringIO("n\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert run(*arguments) == 1
    assert len(fake.requests["BatchUpdateTasks"]) == 2
