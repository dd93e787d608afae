"""Which fleets take which steps, and how large a job may be."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from tests.emulator.deadline_jobs import (
    SCRIPT,
    advance,
    counts_of,
    create,
    frames,
    steps_of,
    template,
)

Ids = dict[str, str]
LINUX = {"attributes": [{"name": "attr.worker.os.family", "anyOf": ["linux", "macos"]}]}


def needs(name: str, **bounds: float) -> dict[str, Any]:
    return {"hostRequirements": {"amounts": [{"name": name, **bounds}]}}


def outcome_of(deadline: Any, clock: ManualClock, queue: Ids, **step: Any) -> dict[str, int]:
    job = create(deadline, queue, template(**step))
    advance(deadline, clock, 60)
    return counts_of(deadline.get_job(**job))


# The fleet has 4 CPUs or more, 1,024 MiB or more, Linux on x86_64, and nothing of its own.
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"hostRequirements": LINUX}, "SUCCEEDED"),
        (needs("amount.worker.vcpu", min=4), "SUCCEEDED"),
        (needs("amount.worker.vcpu", min=5), "NOT_COMPATIBLE"),
        (needs("amount.worker.vcpu", max=64), "NOT_COMPATIBLE"),
        (needs("amount.worker.memory", min=1024), "SUCCEEDED"),
        (needs("amount.worker.gpu", min=1), "SUCCEEDED"),
        (needs("amount.seats", min=1), "NOT_COMPATIBLE"),
        (
            {"hostRequirements": {"attributes": [{"name": "attr.shop", "anyOf": ["a"]}]}},
            "NOT_COMPATIBLE",
        ),
        (
            {
                "hostRequirements": {
                    "attributes": [{"name": "attr.worker.os.family", "anyOf": ["windows"]}]
                }
            },
            "NOT_COMPATIBLE",
        ),
    ],
)
def test_fleet_runs_only_compatible_steps(
    deadline: Any, queue: Ids, clock: ManualClock, step: dict[str, Any], expected: str
) -> None:
    assert outcome_of(deadline, clock, queue, **step) == {expected: 1}


def test_job_with_an_incompatible_step_is_canceled(
    deadline: Any, queue: Ids, clock: ManualClock
) -> None:
    steps = [
        {"name": "Simulate", "script": SCRIPT, **frames(2)},
        {"name": "Render", "script": SCRIPT, **frames(3), **needs("amount.worker.vcpu", min=99)},
    ]
    job = create(deadline, queue, template(*steps))
    advance(deadline, clock, 3)
    row = deadline.get_job(**job)
    assert counts_of(row) == {"CANCELED": 3, "NOT_COMPATIBLE": 3}
    assert row["taskRunStatus"] == "NOT_COMPATIBLE"
    render = steps_of(deadline, job)["Render"]
    task = {**render, "taskId": deadline.list_tasks(**render)["tasks"][0]["taskId"]}
    deadline.update_task(**task, targetRunStatus="PENDING")
    advance(deadline, clock, 3)
    assert deadline.get_task(**task)["runStatus"] == "NOT_COMPATIBLE"


def test_requeued_step_runs_on_a_fleet_added_later(
    deadline: Any, queue: Ids, clock: ManualClock
) -> None:
    job = create(deadline, queue, template(**needs("amount.seats", min=2)))
    advance(deadline, clock, 3)
    farm = {"farmId": queue["farmId"]}
    (first,) = deadline.list_fleets(**farm)["fleets"]
    configuration = deadline.get_fleet(**farm, fleetId=first["fleetId"])["configuration"]
    capabilities = configuration["customerManaged"]["workerCapabilities"]
    capabilities["customAmounts"] = [{"name": "amount.seats", "min": 2, "max": 4}]
    fleet = deadline.create_fleet(
        **farm,
        displayName="Seats",
        roleArn="arn:aws:iam::111122223333:role/Fleet",
        maxWorkerCount=1,
        configuration=configuration,
    )["fleetId"]
    deadline.create_queue_fleet_association(**queue, fleetId=fleet)
    deadline.update_job(**job, targetTaskRunStatus="PENDING")
    advance(deadline, clock, 60)
    assert counts_of(deadline.get_job(**job)) == {"SUCCEEDED": 1}
    (session,) = deadline.list_sessions(**job)["sessions"]
    assert session["fleetId"] == fleet


@pytest.mark.parametrize(
    ("associated", "expected"), [(True, "SUCCEEDED"), (False, "NOT_COMPATIBLE")]
)
def test_amount_that_is_a_queue_limit_is_not_compared_with_the_fleet(
    deadline: Any, queue: Ids, clock: ManualClock, associated: bool, expected: str
) -> None:
    farm = {"farmId": queue["farmId"]}
    limit = deadline.create_limit(
        **farm, displayName="Seats", amountRequirementName="amount.seats", maxCount=3
    )["limitId"]
    if associated:
        deadline.create_queue_limit_association(**queue, limitId=limit)
    outcome = outcome_of(deadline, clock, queue, **needs("amount.seats", min=1))
    assert outcome == {expected: 1}


def many(number: int) -> list[dict[str, Any]]:
    return [{"name": f"S{each}", "script": SCRIPT} for each in range(number)]


def after(steps: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"dependsOn": step["name"]} for step in steps]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (template(**frames(10_001)), "L-CF66A041"),
        (template(*many(200)), "L-BABD8718"),
        (template(*many(129), dependencies=after(many(129))), "L-3A262554"),
    ],
    ids=["tasks", "steps", "dependencies"],
)
def test_job_beyond_the_quotas_is_rejected(
    clock: ManualClock, connect: Any, text: str, code: str
) -> None:
    with Emulator(clock=clock, quotas="aws") as aws:
        deadline = connect(aws, "deadline")
        farm = deadline.list_farms()["farms"][0]["farmId"]
        queue_id = deadline.list_queues(farmId=farm)["queues"][0]["queueId"]
        with pytest.raises(ClientError) as caught:
            create(deadline, {"farmId": farm, "queueId": queue_id}, text)
        error: Any = caught.value.response
        assert error["Error"]["Code"] == "ServiceQuotaExceededException"
        assert (error["quotaCode"], error["serviceCode"]) == (code, "deadline")


def chunked(size: int) -> dict[str, Any]:
    chunks = {"defaultTaskCount": size, "rangeConstraint": "CONTIGUOUS"}
    definition = {"name": "F", "type": "CHUNK[INT]", "range": f"1-{size}", "chunks": chunks}
    return {"parameterSpace": {"taskParameterDefinitions": [definition]}}


@pytest.mark.parametrize(
    "text",
    [template(extensions=["TASK_CHUNKING"], **chunked(151)), template(**frames(10**7))],
    ids=["chunk", "tasks"],
)
def test_template_beyond_fixed_limits_is_rejected(deadline: Any, queue: Ids, text: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        create(deadline, queue, text)
    assert deadline.list_jobs(**queue)["jobs"] == []


def test_largest_chunk_is_accepted(deadline: Any, queue: Ids, clock: ManualClock) -> None:
    job = create(deadline, queue, template(extensions=["TASK_CHUNKING"], **chunked(150)))
    advance(deadline, clock, 60)
    assert counts_of(deadline.get_job(**job)) == {"SUCCEEDED": 1}
