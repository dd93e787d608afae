"""The cost of the worst anonymous requests before and during authorization."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from taskgate.deadline.v1 import deadline_pb2
from taskgate.v1 import task_service_pb2, task_watch_pb2
from taskgate_server import errors
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.authentication import Caller
from taskgate_server.auth.identifiers import MAX_ARN_DEPTH
from taskgate_server.auth.policy import Policy
from taskgate_server.auth.resources import Path, compile_paths, named_path
from taskgate_server.auth.scopes import MAX_ID_LENGTH

pytestmark = pytest.mark.alone

UNIFIED = "taskgate.v1.TaskService"
DEADLINE = "taskgate.deadline.v1.DeadlineService"
MALLORY = Caller("User", "mallory")
POLICY = """
permit (principal, action in Action::"read", resource in Deadline::Queue::"q");
forbid (principal, action, resource in Deadline::Job::"j");
"""


def quickest(work: Callable[[], object], rounds: int = 20) -> float:
    """Return the CPU seconds of the fastest of several rounds."""
    times = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def many_items() -> Message:
    one = deadline_pb2.BatchUpdateTaskRequest(
        tasks=[deadline_pb2.BatchUpdateTaskItem()]
    ).SerializeToString()
    return deadline_pb2.BatchUpdateTaskRequest.FromString(one * 800_000)


COSTLY: dict[str, tuple[str, Callable[[], Message]]] = {
    "a name of 20 KB": (
        f"{UNIFIED}/GetTask",
        lambda: task_service_pb2.GetTaskRequest(name="deadline" + "/as/i" * 4000),
    ),
    "a name of 4 MB": (
        f"{UNIFIED}/GetTask",
        lambda: task_service_pb2.GetTaskRequest(name="x/" * 2_000_000),
    ),
    "a million names": (
        f"{UNIFIED}/WatchTasks",
        lambda: task_watch_pb2.WatchTasksRequest(names=["x"] * 1_000_000),
    ),
    "800,000 items": (f"{DEADLINE}/BatchUpdateTask", many_items),
}


@pytest.mark.parametrize("case", COSTLY)
def test_a_rejection_takes_constant_time_and_memory(case: str) -> None:
    method, build = COSTLY[case]
    request = build()
    paths = compile_paths(method, type(request))

    def reject() -> None:
        with pytest.raises(errors.TaskgateError):
            paths(request)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # A text of 4 MB is decoded, which takes a millisecond or two.
    assert quickest(reject) < 0.01
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 * 1024  # KiB


def decide(path: Path, rounds: int = 20) -> float:
    policy = Policy([("test", POLICY)])
    action = action_of(f"{UNIFIED}/GetTask")
    return quickest(lambda: policy.allows(MALLORY, action, path), rounds)


def test_a_decision_on_the_longest_path_takes_less_than_a_millisecond() -> None:
    key = "x" * MAX_ID_LENGTH
    kinds = ("Farm", "Queue", "Job", "Step", "Task", "Run", "Workflow", "Session")
    assert len(kinds) >= MAX_ARN_DEPTH
    path: Path = (("AwsService", "deadline"), *((kind, key) for kind in kinds), ("Resource", key))
    assert decide(path) < 0.001


def test_a_decision_on_an_unbounded_path_takes_longer() -> None:
    """The control: the bound on names and ARNs keeps such a path away from Cedar."""
    unbounded = (("AwsService", "deadline"), *(("As", str(number)) for number in range(1000)))
    assert decide(unbounded, rounds=2) > 0.01
    assert len(named_path("deadline" + "/as/i" * 1000)) < 10
