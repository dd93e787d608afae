from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator
from taskgate_emulator.seeds.ids import FARM_ID, FLAKY_TASK_ID, JOB_ID, QUEUE_ID, RENDER_STEP_ID

Ids = dict[str, str]
WHERE = {"farmId": FARM_ID, "queueIds": [QUEUE_ID]}


def string_filter(name: str, value: str, operator: str = "EQUAL") -> dict[str, Any]:
    return {"stringFilter": {"name": name, "operator": operator, "value": value}}


def ids_of(response: Any) -> list[str]:
    return [task["taskId"] for task in response["tasks"]]


def test_tasks_are_found_by_status(deadline: Any) -> None:
    wanted = string_filter("RUN_STATUS", "READY")
    response = deadline.search_tasks(
        **WHERE, itemOffset=0, filterExpressions={"filters": [wanted], "operator": "AND"}
    )
    assert response["totalResults"] == len(response["tasks"]) > 1
    assert {task["runStatus"] for task in response["tasks"]} == {"READY"}
    row = response["tasks"][0]
    assert (row["queueId"], row["jobId"], row["stepId"]) == (QUEUE_ID, JOB_ID, RENDER_STEP_ID)
    assert "nextItemOffset" not in response


def test_groups_combine(deadline: Any) -> None:
    either = {
        "groupFilter": {
            "filters": [string_filter("RUN_STATUS", word) for word in ("FAILED", "SUSPENDED")],
            "operator": "OR",
        }
    }
    in_render = string_filter("STEP_ID", RENDER_STEP_ID)
    response = deadline.search_tasks(
        **WHERE, itemOffset=0, filterExpressions={"filters": [either, in_render], "operator": "AND"}
    )
    assert sorted(task["runStatus"] for task in response["tasks"]) == ["FAILED", "SUSPENDED"]


@pytest.mark.parametrize(
    ("expression", "total"),
    [
        (
            {
                "stringListFilter": {
                    "name": "RUN_STATUS",
                    "operator": "ANY_EQUALS",
                    "values": ["FAILED", "CANCELED"],
                }
            },
            2,
        ),
        ({"parameterFilter": {"name": "Frame", "operator": "EQUAL", "value": "1001"}}, 1),
        ({"searchTermFilter": {"searchTerm": FLAKY_TASK_ID[5:20], "matchType": "CONTAINS"}}, 12),
        (string_filter("RUN_STATUS", "SUCCEEDED", "NOT_EQUAL"), 12),
    ],
)
def test_each_filter_kind(deadline: Any, expression: Any, total: int) -> None:
    filters = {"filters": [expression], "operator": "AND"}
    response = deadline.search_tasks(**WHERE, itemOffset=0, filterExpressions=filters)
    assert response["totalResults"] == total


def test_times_are_compared(deadline: Any, clock: Any) -> None:
    def ended(operator: str) -> int:
        moment = {"name": "ENDED_AT", "operator": operator, "dateTime": clock()}
        filters = {"filters": [{"dateTimeFilter": moment}], "operator": "AND"}
        response = deadline.search_tasks(**WHERE, itemOffset=0, filterExpressions=filters)
        return int(response["totalResults"])

    assert ended("LESS_THAN") > 3
    assert ended("GREATER_THAN") == 0


def test_pages_are_in_order(aws: Emulator, deadline: Any) -> None:
    job = aws.jobs.add([230])
    where = {**WHERE, "jobId": job.job}
    sort = [{"parameterSort": {"name": "Frame", "sortOrder": "DESCENDING"}}]
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = deadline.search_tasks(**where, itemOffset=offset, sortExpressions=sort)
        found += ids_of(page)
        offset = page.get("nextItemOffset")
    assert found == [job.task(number)["taskId"] for number in reversed(range(230))]
    beyond = deadline.search_tasks(**where, itemOffset=1_000)
    assert (beyond["tasks"], beyond["totalResults"]) == ([], 230)


def test_results_end_at_ten_thousand(aws: Emulator, deadline: Any) -> None:
    job = aws.jobs.add([6_000, 6_000])
    last = deadline.search_tasks(**WHERE, jobId=job.job, itemOffset=9_950, pageSize=100)
    assert (last["totalResults"], len(last["tasks"])) == (10_000, 50)
    assert "nextItemOffset" not in last


def test_jobs_steps_and_workers_are_searched(deadline: Any) -> None:
    sort = [{"fieldSort": {"name": "CREATED_AT", "sortOrder": "DESCENDING"}}]
    jobs = deadline.search_jobs(**WHERE, itemOffset=0, sortExpressions=sort)["jobs"]
    assert [job["jobId"] for job in jobs] == [JOB_ID]
    assert sum(jobs[0]["taskRunStatusCounts"].values()) == 18
    assert jobs[0]["jobParameters"]["Samples"] == {"int": "512"}
    names = [step["name"] for step in deadline.search_steps(**WHERE, itemOffset=0)["steps"]]
    assert names == ["Simulate", "Render", "Composite"]
    fleets = ["fleet-" + "0" * 32]
    assert deadline.search_workers(farmId=FARM_ID, fleetIds=fleets, itemOffset=0)["workers"] == []


def test_unknown_field_and_unknown_queue_are_rejected(deadline: Any) -> None:
    filters = {"filters": [string_filter("runStatus", "READY")], "operator": "AND"}
    with pytest.raises(ClientError, match="RUN_STATUS"):
        deadline.search_tasks(**WHERE, itemOffset=0, filterExpressions=filters)
    with pytest.raises(ClientError, match="queue-0"):
        deadline.search_tasks(farmId=FARM_ID, queueIds=["queue-" + "0" * 32], itemOffset=0)
