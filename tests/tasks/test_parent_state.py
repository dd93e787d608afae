"""The end of tasks and of parents: every value of AWS's models, and the contract's comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from taskgate.v1 import task_pb2
from taskgate_client import events
from taskgate_server.aws import model
from taskgate_server.services.deadline import parents
from taskgate_server.services.deadline.tasks import JOBS, STEPS
from taskgate_server.services.omics.tasks import RUNS
from taskgate_server.services.registry import SERVICES
from taskgate_server.tasks import states
from taskgate_server.tasks.backend import load_backend
from taskgate_server.tasks.parent_state import ParentKind, ParentState

PROTO = Path(__file__).parents[2] / "protos/taskgate/v1/task.proto"
KINDS = [kind for spec in SERVICES for kind in load_backend(spec).parents.values()]
GROUPS = [parents.FAILED, parents.CLOSED, parents.IN_PROGRESS, parents.NEUTRAL]
STAGES = {stage for group in GROUPS for stage in group}


def enum_of(kind: ParentKind, member: str) -> list[str]:
    service = next(
        service
        for service in map(model.load_service, ("deadline", "omics"))
        if kind.operation in service.operation_names
    )
    shape: Any = service.operation_model(kind.operation).output_shape
    return list(shape.members[member].enum)


def words(state: Any) -> str:
    return task_pb2.TaskState.Name(state).removeprefix("TASK_STATE_")


def read(kind: ParentKind, **response: Any) -> ParentState:
    return kind.read("name", response, 0.0)


def acceptors(waiter: str) -> list[tuple[str, str]]:
    """The members and values at which one of botocore's waiters for Deadline Cloud stops."""
    config = botocore.session.get_session().get_waiter_model("deadline").get_waiter(waiter)
    return [
        (acceptor.argument, acceptor.expected)
        for acceptor in config.acceptors
        if acceptor.state != "retry" and acceptor.matcher == "path"
    ]


def test_the_contract_the_server_and_the_client_agree_on_what_is_settled() -> None:
    comment = PROTO.read_text().partition("enum TaskState")[0].rpartition("}\n")[2]
    [sentence] = re.findall(r"// ([A-Z, ]+ and [A-Z]+) are settled", comment)
    documented = set(re.findall(r"[A-Z]{2,}", sentence))
    assert {words(state) for state in states.SETTLED} == documented
    assert events.SETTLED_STATES == states.SETTLED


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.operation))
def test_every_status_of_the_model_has_a_meaning(kind: ParentKind) -> None:
    assert set(kind.states) == set(enum_of(kind, kind.status))
    if isinstance(kind, parents.LifecycleKind):
        assert set(enum_of(kind, parents.STATUS)) <= STAGES
    for member in filter(None, (kind.failure_reason, kind.status_message)):
        shape: Any = model.load_service("omics").operation_model(kind.operation).output_shape
        assert member in shape.members


def test_every_lifecycle_status_of_a_job_is_in_one_group() -> None:
    assert sorted(enum_of(JOBS, "lifecycleStatus")) == sorted(
        stage for group in GROUPS for stage in group
    )


@pytest.mark.parametrize(("member", "value"), acceptors("JobComplete"))
def test_a_job_ends_where_the_waiter_for_its_completion_stops(member: str, value: str) -> None:
    assert read(JOBS, **{"lifecycleStatus": "CREATE_COMPLETE", member: value}).ended


def test_a_job_ends_nowhere_else_but_where_its_creation_fails() -> None:
    complete = set(acceptors("JobComplete"))
    created = set(acceptors("JobCreateComplete"))
    for stage in enum_of(JOBS, "lifecycleStatus"):
        for value in enum_of(JOBS, "taskRunStatus"):
            state = read(JOBS, lifecycleStatus=stage, taskRunStatus=value)
            fails = stage in {"CREATE_FAILED", "UPLOAD_FAILED"}
            assert not fails or ("lifecycleStatus", stage) in created
            stops = ("lifecycleStatus", stage) in complete or ("taskRunStatus", value) in complete
            assert state.ended == (fails or (stops and stage not in parents.IN_PROGRESS))
            assert state.final == (fails or stage == "ARCHIVED")


@pytest.mark.parametrize(
    ("response", "state", "native", "ended", "final"),
    [
        ({"lifecycleStatus": "CREATE_FAILED"}, "FAILED", "CREATE_FAILED", True, True),
        ({"lifecycleStatus": "UPLOAD_FAILED"}, "FAILED", "UPLOAD_FAILED", True, True),
        ({"lifecycleStatus": "ARCHIVED"}, "CANCELLED", "ARCHIVED", True, True),
        ({"lifecycleStatus": "CREATE_IN_PROGRESS"}, "PENDING", "CREATE_IN_PROGRESS", False, False),
        ({"lifecycleStatus": "CREATE_COMPLETE"}, "UNSPECIFIED", "CREATE_COMPLETE", False, False),
        ({"lifecycleStatus": "THAWING"}, "UNSPECIFIED", "THAWING", False, False),
        ({}, "UNSPECIFIED", "", False, False),
        ({"taskRunStatus": "FAILED"}, "FAILED", "FAILED", True, False),
        ({"taskRunStatus": "HIBERNATING"}, "UNRECOGNIZED", "HIBERNATING", False, False),
        (
            {"lifecycleStatus": "CREATE_FAILED", "taskRunStatus": "PENDING"},
            *("FAILED", "CREATE_FAILED", True, True),
        ),
        (
            {"lifecycleStatus": "ARCHIVED", "taskRunStatus": "READY"},
            *("CANCELLED", "ARCHIVED", True, True),
        ),
        (
            {"lifecycleStatus": "ARCHIVED", "taskRunStatus": "SUCCEEDED"},
            *("SUCCEEDED", "SUCCEEDED", True, True),
        ),
        (
            {"lifecycleStatus": "UPDATE_IN_PROGRESS", "taskRunStatus": "SUCCEEDED"},
            *("SUCCEEDED", "SUCCEEDED", False, False),
        ),
        (
            {"lifecycleStatus": "UPDATE_FAILED", "taskRunStatus": "READY"},
            *("QUEUED", "READY", False, False),
        ),
        (
            {"lifecycleStatus": "THAWING", "taskRunStatus": "SUCCEEDED"},
            *("SUCCEEDED", "SUCCEEDED", True, False),
        ),
    ],
)
def test_what_a_job_reports(
    response: dict[str, str], state: str, native: str, ended: bool, final: bool
) -> None:
    message = {"lifecycleStatusMessage": "about the lifecycle"}
    for kind in (JOBS, STEPS):
        found = read(kind, **response, **message)
        assert (words(found.state), found.native_state) == (state, native)
        assert (found.ended, found.final) == (ended, final)
        assert found.lifecycle_status == response.get("lifecycleStatus")
        # AWS's message is about the lifecycle, so it must not explain a task run status.
        assert (found.status_message is None) == (
            "taskRunStatus" in response and native != found.lifecycle_status
        )


@pytest.mark.parametrize(
    ("value", "state", "ended"),
    [
        ("PENDING", "PENDING", False),
        ("STARTING", "STARTING", False),
        ("RUNNING", "RUNNING", False),
        ("STOPPING", "STOPPING", False),
        ("COMPLETED", "SUCCEEDED", True),
        ("FAILED", "FAILED", True),
        ("CANCELLED", "CANCELLED", True),
        ("DELETED", "CANCELLED", True),
        ("HIBERNATING", "UNRECOGNIZED", False),
        (None, "UNSPECIFIED", False),
    ],
)
def test_what_a_run_reports(value: str | None, state: str, ended: bool) -> None:
    found = read(RUNS, status=value, failureReason="RUN_TIMED_OUT", statusMessage="too slow")
    assert (words(found.state), found.native_state) == (state, value or "")
    assert found.ended is found.final is ended
    message = found.to_message()
    assert (message.failure_reason, message.status_message) == ("RUN_TIMED_OUT", "too slow")
    assert not message.HasField("lifecycle_status")
    assert not read(RUNS, status=value).to_message().HasField("failure_reason")
