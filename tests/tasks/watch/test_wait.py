"""WaitTask over the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import CallError
from taskgate_emulator.seeds import ids as seed
from taskgate_server.services.deadline import tasks as deadline
from taskgate_server.services.omics import tasks as omics
from taskgate_server.tasks.states import SETTLED
from tests.support.demo_names import ABSENT, CANCELED, FAILED, JOB_IDS, RUNNING
from tests.support.manual_clock_server import SECONDS, ManualClockServer

pytestmark = pytest.mark.timed


def wait(
    place: ManualClockServer,
    name: str,
    *states: Any,
    seconds: float = SECONDS,
    max_wait: float | None = None,
) -> Any:
    request = task_watch_pb2.WaitTaskRequest(name=name, states=states)
    if max_wait is not None:
        request.max_wait.FromNanoseconds(int(max_wait * 1e9))
    return place.stub.WaitTask(request, timeout=seconds)


@pytest.mark.parametrize(("name", "word"), [(FAILED, "FAILED"), (CANCELED, "CANCELED")])
def test_wait_for_a_settled_task_ends_at_once(
    place: ManualClockServer, name: str, word: str
) -> None:
    answer = wait(place, name)
    assert answer.done
    assert answer.task.native_state == word
    assert answer.task.HasField("observe_time")


def test_a_wait_ends_when_the_task_has_settled(place: ManualClockServer) -> None:
    timer = threading.Timer(0.5, place.clock.advance, [3600])
    timer.start()
    answer = wait(place, RUNNING)
    timer.join()
    assert answer.done
    assert answer.task.native_state == "SUCCEEDED"


SETTLED_WORDS = [
    (service.NAMES.service, word)
    for service in (deadline, omics)
    for word, state in service.STATES.items()
    if state in SETTLED
]


@pytest.mark.parametrize(("service", "word"), SETTLED_WORDS)
def test_a_wait_ends_on_every_settled_state(
    place: ManualClockServer, service: str, word: str
) -> None:
    move: Callable[[Mapping[str, str], str], None]
    if service == "deadline":
        job = place.aws.jobs.add(status="RUNNING")
        ids, move = job.task(0), place.aws.jobs.move
        name = deadline.NAMES.format(ids)
    else:
        run = place.aws.runs.add()
        ids, move = run.task(0), place.aws.runs.move
        name = omics.NAMES.format(ids)
    timer = threading.Timer(0.3, move, [ids, word])
    timer.start()
    answer = wait(place, name)
    timer.join()
    assert answer.done
    assert answer.task.native_state == word


def test_wait_responds_before_the_deadline(place: ManualClockServer) -> None:
    began = time.monotonic()
    answer = wait(place, RUNNING, seconds=4)
    assert time.monotonic() - began < 4
    assert not answer.done
    assert answer.task.native_state == "RUNNING"


def test_wait_for_the_present_state_ends_at_once(place: ManualClockServer) -> None:
    assert wait(place, RUNNING, task_pb2.TASK_STATE_RUNNING).done
    assert wait(place, FAILED, task_pb2.TASK_STATE_RUNNING).done  # settled in another one


def test_wait_for_an_unknown_or_deleted_task_is_not_found(place: ManualClockServer) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, ABSENT)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND

    ids = {**JOB_IDS, "stepId": seed.RENDER_STEP_ID, "taskId": seed.RUNNING_TASK_ID}
    timer = threading.Timer(0.5, place.aws.jobs.remove, [ids])
    timer.start()
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, RUNNING)
    timer.join()
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("state", [0, task_pb2.TASK_STATE_UNRECOGNIZED, 99])
def test_wait_for_an_invalid_state_is_refused(place: ManualClockServer, state: int) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, RUNNING, state)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_wait_returns_the_task_as_last_seen_after_max_wait(
    place: ManualClockServer,
) -> None:
    began = time.monotonic()
    response = wait(place, RUNNING, max_wait=1)
    assert 0.9 < time.monotonic() - began < 15
    assert not response.done
    assert response.task.native_state == "RUNNING"
    assert wait(place, FAILED, max_wait=1).done


@pytest.mark.parametrize("max_wait", [0, 0.999, -1])
def test_too_short_max_wait_is_refused(place: ManualClockServer, max_wait: float) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, RUNNING, max_wait=max_wait)
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["max_wait"]
