"""Queues: their status, associations, deletion, budgets and storage profiles."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from tests.emulator.deadline_jobs import advance, counts_of, create, frames, template

LIMITED = {
    **frames(3),
    "hostRequirements": {"amounts": [{"name": "amount.licenses", "min": 1}]},
}


def code_of(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def fleet_of(deadline: Any, queue: dict[str, str]) -> dict[str, str]:
    (link,) = deadline.list_queue_fleet_associations(farmId=queue["farmId"])[
        "queueFleetAssociations"
    ]
    return {**queue, "fleetId": link["fleetId"]}


def limit_of(deadline: Any, queue: dict[str, str]) -> dict[str, str]:
    farm = {"farmId": queue["farmId"]}
    limit = deadline.create_limit(
        **farm, displayName="L", amountRequirementName="amount.licenses", maxCount=2
    )["limitId"]
    deadline.create_queue_limit_association(**queue, limitId=limit)
    return {**queue, "limitId": limit}


def running_job(
    deadline: Any, clock: ManualClock, queue: dict[str, str], **members: Any
) -> dict[str, str]:
    """Return a job of three tasks, two of which are on the workers of the queue."""
    job = create(deadline, queue, template(**(members or frames(3))))
    advance(deadline, clock, 8)
    assert counts_of(deadline.get_job(**job)) == {"RUNNING": 2, "READY": 1}
    return job


def test_status_follows_the_tasks(deadline: Any, queue: dict[str, str], clock: ManualClock) -> None:
    def status() -> tuple[str, list[str]]:
        rows = deadline.list_queues(farmId=queue["farmId"], status="SCHEDULING")["queues"]
        return deadline.get_queue(**queue)["status"], [row["queueId"] for row in rows]

    assert status() == ("IDLE", [])
    running_job(deadline, clock, queue)
    assert status() == ("SCHEDULING", [queue["queueId"]])
    advance(deadline, clock, 60)
    assert status() == ("IDLE", [])


def test_queue_that_needs_a_budget_is_blocked(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    action = "STOP_SCHEDULING_AND_COMPLETE_TASKS"
    deadline.update_queue(**queue, defaultBudgetAction=action)
    job = create(deadline, queue, template(**frames(2)))
    advance(deadline, clock, 10)
    got = deadline.get_queue(**queue)
    assert (got["status"], got["blockedReason"]) == ("SCHEDULING_BLOCKED", "NO_BUDGET_CONFIGURED")
    assert counts_of(deadline.get_job(**job)) == {"READY": 2}
    deadline.create_budget(
        farmId=queue["farmId"],
        displayName="B",
        usageTrackingResource={"queueId": queue["queueId"]},
        approximateDollarLimit=1.0,
        actions=[],
        schedule={"fixed": {"startTime": clock(), "endTime": clock()}},
    )
    assert deadline.get_queue(**queue)["status"] == "SCHEDULING"
    assert counts_of(deadline.get_job(**job)) == {"ASSIGNED": 2}


def test_fleet_association_stops_when_its_tasks_have_completed(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    job, fleet = running_job(deadline, clock, queue), fleet_of(deadline, queue)
    status = "STOP_SCHEDULING_AND_COMPLETE_TASKS"
    deadline.update_queue_fleet_association(**fleet, status=status)
    advance(deadline, clock, 2)
    assert deadline.get_queue_fleet_association(**fleet)["status"] == status
    assert code_of(deadline.delete_queue_fleet_association, **fleet) == "ConflictException"
    advance(deadline, clock, 60)
    assert deadline.get_queue_fleet_association(**fleet)["status"] == "STOPPED"
    assert counts_of(deadline.get_job(**job)) == {"SUCCEEDED": 2, "READY": 1}

    deadline.update_queue_fleet_association(**fleet, status="ACTIVE")
    advance(deadline, clock, 60)
    assert deadline.get_job(**job)["taskRunStatus"] == "SUCCEEDED"


def test_fleet_association_cancels_its_tasks(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    job, fleet = running_job(deadline, clock, queue), fleet_of(deadline, queue)
    status = "STOP_SCHEDULING_AND_CANCEL_TASKS"
    deadline.update_queue_fleet_association(**fleet, status=status)
    assert counts_of(deadline.get_job(**job)) == {"INTERRUPTING": 2, "READY": 1}
    advance(deadline, clock, 6)
    assert counts_of(deadline.get_job(**job)) == {"CANCELED": 2, "READY": 1}
    assert deadline.get_queue_fleet_association(**fleet)["status"] == "STOPPED"
    deadline.delete_queue_fleet_association(**fleet)


@pytest.mark.parametrize("repetitions", [1, 3])
def test_unused_association_stops_after_a_delay(
    deadline: Any, queue: dict[str, str], clock: ManualClock, repetitions: int
) -> None:
    fleet = fleet_of(deadline, queue)
    for _ in range(repetitions):
        deadline.update_queue_fleet_association(
            **fleet, status="STOP_SCHEDULING_AND_COMPLETE_TASKS"
        )
    advance(deadline, clock, 2)
    assert deadline.get_queue_fleet_association(**fleet)["status"] == "STOPPED"


@pytest.mark.parametrize("end", ["COMPLETE", "CANCEL"])
def test_limit_association_stops_with_the_tasks_that_use_it(
    deadline: Any, queue: dict[str, str], clock: ManualClock, end: str
) -> None:
    limit = limit_of(deadline, queue)
    job = running_job(deadline, clock, queue, **LIMITED)
    status = f"STOP_LIMIT_USAGE_AND_{end}_TASKS"
    deadline.update_queue_limit_association(**limit, status=status)
    assert deadline.get_queue_limit_association(**limit)["status"] == status
    farm_and_limit = {"farmId": queue["farmId"], "limitId": limit["limitId"]}
    assert code_of(deadline.delete_limit, **farm_and_limit) == "ValidationException"
    advance(deadline, clock, 60)
    assert deadline.get_queue_limit_association(**limit)["status"] == "STOPPED"
    counts = counts_of(deadline.get_job(**job))
    assert counts["SUCCEEDED" if end == "COMPLETE" else "CANCELED"] >= 2
    deadline.delete_queue_limit_association(**limit)
    deadline.delete_limit(**farm_and_limit)


def test_queue_is_deleted_with_its_jobs(
    aws: Emulator, deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    job, fleet = running_job(deadline, clock, queue), fleet_of(deadline, queue)
    assert code_of(deadline.delete_queue, **queue) == "ConflictException"
    assert code_of(deadline.delete_fleet, farmId=queue["farmId"], fleetId=fleet["fleetId"])
    deadline.update_queue_fleet_association(**fleet, status="STOP_SCHEDULING_AND_CANCEL_TASKS")
    advance(deadline, clock, 6)
    deadline.delete_queue_fleet_association(**fleet)
    deadline.delete_queue(**queue)
    assert code_of(deadline.get_job, **job) == "ResourceNotFoundException"
    left = aws.edit(lambda account: list(account.rows_inside("deadline", tuple(queue.values()))))
    assert left == []


def test_storage_profiles_of_a_queue_are_those_that_it_allows(
    deadline: Any, queue: dict[str, str]
) -> None:
    farm = {"farmId": queue["farmId"]}
    location = {"name": "Assets", "path": "/mnt/assets", "type": "SHARED"}
    profile, other = (
        deadline.create_storage_profile(
            **farm, displayName=name, osFamily="LINUX", fileSystemLocations=[location]
        )["storageProfileId"]
        for name in ("One", "Two")
    )
    assert deadline.list_storage_profiles_for_queue(**queue)["storageProfiles"] == []
    deadline.update_queue(**queue, allowedStorageProfileIdsToAdd=[profile])
    (row,) = deadline.list_storage_profiles_for_queue(**queue)["storageProfiles"]
    assert row == {"storageProfileId": profile, "displayName": "One", "osFamily": "LINUX"}
    got = deadline.get_storage_profile_for_queue(**queue, storageProfileId=profile)
    assert (got["displayName"], got["fileSystemLocations"]) == ("One", [location])
    read = deadline.get_storage_profile_for_queue
    assert code_of(read, **queue, storageProfileId=other) == "ResourceNotFoundException"


@pytest.mark.parametrize("maximum", [0, 2**31 - 1])
def test_fleet_of_any_size_runs_the_demo(
    deadline: Any, job: dict[str, str], clock: ManualClock, maximum: int
) -> None:
    (fleet,) = deadline.list_fleets(farmId=job["farmId"])["fleets"]
    ids = {"farmId": job["farmId"], "fleetId": fleet["fleetId"]}
    deadline.update_fleet(**ids, minWorkerCount=0, maxWorkerCount=maximum)
    clock.advance(300)
    assert deadline.get_job(**job)["taskRunStatus"]
    assert deadline.get_fleet(**ids)["workerCount"] <= 100
