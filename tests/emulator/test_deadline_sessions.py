"""Sessions, session actions, log lines and events are consistent with the tasks."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import (
    FAILED_TASK_ID,
    FARM_ID,
    FLAKY_TASK_ID,
    QUEUE_ID,
    RENDER_STEP_ID,
    RETRIED_TASK_ID,
    RUNNING_TASK_ID,
)

Ids = dict[str, str]
LOG_GROUP = f"/aws/deadline/{FARM_ID}/{QUEUE_ID}"


def lines_of(logs: Any, action: dict[str, Any]) -> list[str]:
    """Return the lines of an action, as AWS's own client finds them."""
    session = f"session-{action['sessionActionId'].split('-')[1]}"
    span = {}
    if "endedAt" in action:
        span["endTime"] = int(action["endedAt"].timestamp() * 1_000) + 1
    events = logs.get_log_events(
        logGroupName=LOG_GROUP,
        logStreamName=session,
        startTime=int(action["startedAt"].timestamp() * 1_000),
        startFromHead=True,
        **span,
    )["events"]
    return [event["message"] for event in events]


def test_each_attempt_of_a_demo_task_is_an_action_with_its_log(
    aws: Emulator, deadline: Any, connect: Any, job: Ids, render: Ids
) -> None:
    actions = deadline.list_session_actions(**job, taskId=RETRIED_TASK_ID)["sessionActions"]
    assert [action["status"] for action in actions] == ["FAILED", "SUCCEEDED"]
    task = deadline.get_task(**render, taskId=RETRIED_TASK_ID)
    last = deadline.get_session_action(**job, sessionActionId=task["latestSessionActionId"])
    assert (last["startedAt"], last["endedAt"]) == (task["startedAt"], task["endedAt"])
    assert last["processExitCode"] == 0
    run = last["definition"]["taskRun"]
    assert (run["taskId"], run["stepId"]) == (RETRIED_TASK_ID, RENDER_STEP_ID)
    assert run["parameters"] == task["parameters"]

    logs = connect(aws, "logs")
    first, second = (lines_of(logs, action) for action in actions)
    assert first[0] == second[0] == f"Running task {RETRIED_TASK_ID}"
    assert first[-1] == "Process exited with code 1"
    assert second[-1] == "Process exited with code 0"
    assert "openjd_progress: 50.0" in second


def test_session_names_its_worker_and_its_log(deadline: Any, job: Ids, render: Ids) -> None:
    task = deadline.get_task(**render, taskId=RUNNING_TASK_ID)
    action = deadline.get_session_action(**job, sessionActionId=task["latestSessionActionId"])
    assert (action["status"], action["startedAt"]) == ("RUNNING", task["startedAt"])
    assert 0 < action["progressPercent"] < 100
    session = deadline.get_session(**job, sessionId=action["sessionId"])
    assert session["lifecycleStatus"] == "STARTED"
    assert session["log"]["options"] == {
        "logGroupName": LOG_GROUP,
        "logStreamName": action["sessionId"],
    }
    where = {"farmId": FARM_ID, "fleetId": session["fleetId"]}
    worker = deadline.get_worker(**where, workerId=session["workerId"])
    assert worker["hostProperties"] == session["hostProperties"]
    assert deadline.get_fleet(**where)["workerCount"] == len(
        deadline.list_workers(**where)["workers"]
    )
    ids = {**where, "workerId": session["workerId"]}
    pages = deadline.get_paginator("list_sessions_for_worker")
    mine = pages.paginate(**ids, PaginationConfig={"PageSize": 1})
    names = [row["sessionId"] for page in mine for row in page["sessions"]]
    assert len(names) == len({*names})
    assert action["sessionId"] in names
    with pytest.raises(ClientError, match="worker-0"):
        deadline.list_sessions_for_worker(**where, workerId="worker-" + "0" * 32)
    found = deadline.list_session_actions(**job, sessionId=action["sessionId"])
    assert [row["sessionActionId"] for row in found["sessionActions"]] == [
        action["sessionActionId"]
    ]
    batch = deadline.batch_get_session_action(
        identifiers=[{**job, "sessionActionId": action["sessionActionId"]}]
    )
    assert batch["errors"] == []
    sessions = deadline.batch_get_session(identifiers=[{**job, "sessionId": action["sessionId"]}])
    assert [row["workerId"] for row in sessions["sessions"]] == [session["workerId"]]


def test_updated_task_cancels_its_action(
    deadline: Any, job: Ids, render: Ids, clock: ManualClock
) -> None:
    task = deadline.get_task(**render, taskId=RUNNING_TASK_ID)
    name = {"sessionActionId": task["latestSessionActionId"]}
    deadline.update_task(**render, taskId=RUNNING_TASK_ID, targetRunStatus="SUSPENDED")
    assert deadline.get_session_action(**job, **name)["status"] == "CANCELING"
    clock.advance(5)
    action = deadline.get_session_action(**job, **name)
    assert (action["status"], action["endedAt"]) == ("CANCELED", clock())
    session = deadline.get_session(**job, sessionId=action["sessionId"])
    assert (session["lifecycleStatus"], session["endedAt"]) == ("ENDED", clock())


def test_actions_match_the_tasks_at_all_times(
    deadline: Any, job: Ids, render: Ids, clock: ManualClock
) -> None:
    words = {"STARTING": "ASSIGNED", "RUNNING": "RUNNING", "SUCCEEDED": "SUCCEEDED"}
    for _ in range(25):
        for task in deadline.list_tasks(**render)["tasks"]:
            if task["runStatus"] in words:
                action = deadline.get_session_action(
                    **job, sessionActionId=task["latestSessionActionId"]
                )
                assert action["status"] == words[task["runStatus"]]
                assert action.get("startedAt") == task.get("startedAt")
                assert action.get("endedAt") == task.get("endedAt")
        clock.advance(9)


def test_worker_keeps_its_session_within_a_job(
    aws: Emulator, deadline: Any, clock: ManualClock
) -> None:
    added = aws.jobs.add([12], status="SUSPENDED")
    deadline.update_job(**added.ids, targetTaskRunStatus="PENDING")
    for _ in range(8):
        clock.advance(10)
    assert deadline.get_job(**added.ids)["taskRunStatus"] == "SUCCEEDED"
    actions = deadline.list_session_actions(**added.ids)["sessionActions"]
    ids = [action["sessionActionId"] for action in actions]
    sessions = Counter(name.split("-")[1] for name in ids)
    assert sorted(sessions.values()) == [1] * 4 + [2] * 4  # eight workers, twelve tasks
    assert all(f"sessionaction-{one}-{n}" in ids for one, n in sessions.items() for n in range(n))
    for session in deadline.list_sessions(**added.ids)["sessions"]:
        assert session["lifecycleStatus"] == "ENDED"
        own = [row for row in actions if session["sessionId"][8:] in row["sessionActionId"]]
        assert all(one["endedAt"] <= two["startedAt"] for one, two in pairwise(own))


def test_every_status_change_of_a_task_is_an_event(
    aws: Emulator, deadline: Any, render: Ids, clock: ManualClock
) -> None:
    assert list(aws.events) == []
    for _ in range(100):
        clock.advance(1)
        deadline.list_farms()
    events = [event for event in aws.events if event.detail.get("taskId") == FLAKY_TASK_ID]
    statuses = [event.detail["runStatus"] for event in events]
    assert statuses == [
        *("ASSIGNED", "STARTING", "RUNNING", "READY"),
        *("ASSIGNED", "STARTING", "RUNNING", "SUCCEEDED"),
    ]
    for one, two in pairwise(events):
        assert two.detail["previousRunStatus"] == one.detail["runStatus"]
        assert one.time <= two.time
    assert {key: events[0].detail[key] for key in render} == render
    assert {event.detail_type for event in events} == {"Task Run Status Change"}


@pytest.mark.parametrize("kind", ["Step", "Job"])
def test_combined_status_of_step_and_job_is_an_event(
    aws: Emulator, deadline: Any, kind: str
) -> None:
    added = aws.jobs.add([2])
    for number in range(2):
        deadline.update_task(**added.task(number), targetRunStatus="CANCELED")
    deadline.update_task(**added.task(0), targetRunStatus="SUCCEEDED")
    found = [
        event.detail for event in aws.events if event.detail_type == f"{kind} Run Status Change"
    ]
    assert [(one["previousTaskRunStatus"], one["taskRunStatus"]) for one in found] == [
        ("READY", "CANCELED")
    ]
    assert +Counter(found[0]["taskRunStatusCounts"]) == Counter(CANCELED=2)
    assert ("stepId" in found[0]) == (kind == "Step")
    lifecycle = [e.detail for e in aws.events if e.detail_type == f"{kind} Lifecycle Status Change"]
    assert [one["lifecycleStatus"] for one in lifecycle] == ["CREATE_COMPLETE"]
    assert "previousLifecycleStatus" not in lifecycle[0]


def test_marked_task_keeps_its_attempts(deadline: Any, job: Ids) -> None:
    actions = deadline.list_session_actions(**job, taskId=FAILED_TASK_ID)["sessionActions"]
    assert [action["status"] for action in actions] == ["FAILED", "CANCELED"]
