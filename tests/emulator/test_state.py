from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any

import pytest

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core.state import Account, Transition
from taskgate_emulator.core.timeline import Change, planned
from taskgate_emulator.seeds.ids import FARM_ID, QUEUE_ID, RUNNING_TASK_ID

KIND = "toy.Lamp"


@pytest.fixture
def account(clock: ManualClock) -> Account:
    return Account(clock=clock, random=Random(1))  # noqa: S311 ids need not be secret


def test_changes_are_applied_in_order_over_all_rows(account: Account, clock: ManualClock) -> None:
    notified: list[tuple[str, Any, float]] = []
    start = account.now

    def listen(_: Account, transition: Transition) -> None:
        after = transition.after or {}
        notified.append(
            (transition.key[0], after.get("on"), (transition.at - start).total_seconds())
        )

    account.listen(KIND, listen)
    account.put(KIND, ("a",), {}, planned(start, 1.0, [(5, {"on": 1}), (9, {"on": 2})]))
    account.put(KIND, ("b",), {}, planned(start, 1.0, [(7, {"on": 3})]))
    clock.advance(100)
    account.settle()
    assert notified == [("a", None, 0), ("b", None, 0), ("a", 1, 5), ("b", 3, 7), ("a", 2, 9)]
    assert account.now == clock()
    assert account.next_due is None


def test_write_replaces_scheduled_changes(account: Account, clock: ManualClock) -> None:
    account.put(KIND, ("a",), {}, planned(account.now, 1.0, [(5, {"on": 1}), (9, {"on": 2})]))
    clock.advance(6)
    account.settle()
    account.put(KIND, ("a",), {"on": 7})
    clock.advance(6)
    account.settle()
    assert account.table(KIND).record(("a",)) == {"on": 7}


def test_timer_may_schedule_the_next(account: Account, clock: ManualClock) -> None:
    def blink(account: Account, key: tuple[str, ...], at: Any) -> None:
        record = account.table(KIND).record(key) or {}
        later = Change(at + timedelta(seconds=10), {"on": record["on"] + 1}, "blink")
        account.put(KIND, key, record, (later,))

    account.on_timer("blink", blink)
    account.put(KIND, ("a",), {"on": 0}, (Change(account.now, {}, "blink"),))
    clock.advance(35)
    account.settle()
    assert account.table(KIND).record(("a",)) == {"on": 3}


def test_rows_keep_their_order_and_numbers(account: Account) -> None:
    for name in "abcde":
        account.put(KIND, ("scope", name), {})
    account.delete(KIND, ("scope", "b"))
    account.put(KIND, ("scope", "b"), {})
    table = account.table(KIND)
    assert table.ids("scope") == ["a", "c", "d", "e", "b"]
    third = next(row.number for name, row in table.after(0, "scope") if name == "d")
    account.delete(KIND, ("scope", "d"))
    assert [name for name, _ in table.after(third, "scope")] == ["e", "b"]


def test_restart_resumes_from_the_state_file(
    tmp_path: Path, clock: ManualClock, connect: Any
) -> None:
    file = tmp_path / "state"
    with Emulator(clock=clock, state=file) as aws:
        job = aws.jobs.add([3], runs=True)
        task, token = job.task(1), {"clientToken": "once"}
        client = connect(aws, "deadline")
        client.update_task(**job.task(2), targetRunStatus="SUSPENDED", **token)
        clock.advance(8)
        before = client.list_tasks(**job.step())["tasks"]
    with Emulator(clock=clock, state=file) as aws:
        client = connect(aws, "deadline")
        assert client.list_tasks(**job.step())["tasks"] == before
        client.update_task(**job.task(2), targetRunStatus="SUSPENDED", **token)
        clock.advance(60)
        assert client.get_task(**task)["runStatus"] == "SUCCEEDED"
        assert client.get_task(**job.task(2))["runStatus"] == "SUSPENDED"
        assert aws.jobs.add([1]).job != job.job
        assert len(client.list_farms()["farms"]) == 1


_KILLED = """
import sys
from taskgate_emulator import Emulator
with Emulator(state=sys.argv[1]) as aws:
    print(aws.endpoint_url, *aws.jobs.add([200]).task(0).values(), flush=True)
    sys.stdin.read()
"""


def test_acknowledged_changes_survive_a_kill(tmp_path: Path, connect: Any) -> None:
    file = tmp_path / "state"
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url, farm, queue, job, step, task = process.stdout.readline().split()
        path = f"/2023-10-12/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks"
        connection = HTTPConnection(url.removeprefix("http://"))
        acknowledged = []
        for number in range(100):
            body = json.dumps({"targetRunStatus": "CANCELED"})
            name = f"{task.rpartition('-')[0]}-{number}"
            connection.request("PATCH", f"{path}/{name}", body, {"Authorization": "any"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            acknowledged.append(name)
        process.send_signal(signal.SIGKILL)
        connection.close()
    with Emulator(state=file) as aws:
        client = connect(aws, "deadline")
        ids = {"farmId": farm, "queueId": queue, "jobId": job, "stepId": step}
        tasks = client.get_paginator("list_tasks").paginate(**ids).build_full_result()["tasks"]
    cancelled = [row["taskId"] for row in tasks if row["runStatus"] == "CANCELED"]
    assert cancelled == acknowledged
    assert len(tasks) == 200


def test_file_that_is_not_a_state_file_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are not the rows you are looking for" * 100)
    with pytest.raises(ValueError, match="cannot be used as state"):
        Emulator(state=file)
    state = tmp_path / "state"
    with Emulator(state=state), pytest.raises(ValueError, match="locked"):
        Emulator(state=state)


def test_tasks_are_moved_added_and_removed(aws: Emulator, deadline: Any) -> None:
    job = aws.jobs.add([2, 1], queue="queue-" + "1" * 32, members={"name": "Mine"})
    aws.jobs.move(job.task(0), "FAILED", failureRetryCount=1)
    aws.jobs.add_tasks(job.step(0), 2, status="PENDING")
    aws.jobs.remove(job.task(1))
    aws.jobs.requeue(job.task(0))
    rows = deadline.list_tasks(**job.step(0))["tasks"]
    assert [row["runStatus"] for row in rows] == ["PENDING", "PENDING", "PENDING"]
    assert deadline.get_job(**job.ids)["name"] == "Mine"
    aws.jobs.remove(job.ids)
    where = {"farmId": FARM_ID, "queueId": job.queue}
    assert deadline.list_jobs(**where)["jobs"] == []
    assert len(deadline.list_jobs(farmId=FARM_ID, queueId=QUEUE_ID)["jobs"]) == 1
    with pytest.raises(KeyError):
        aws.jobs.move(job.task(0), "READY")
    assert RUNNING_TASK_ID.startswith("task-")


def test_run_tasks_are_moved_added_and_removed(aws: Emulator, omics: Any) -> None:
    run = aws.runs.add(150)
    aws.runs.move(run.task(3), "COMPLETED")
    aws.runs.move({"id": run.run}, "STOPPING")
    (later,) = aws.runs.add_tasks(run.run, 1)
    aws.runs.remove(run.task(0))
    pages = omics.get_paginator("list_run_tasks").paginate(id=run.run)
    rows = {row["taskId"]: row["status"] for page in pages for row in page["items"]}
    assert len(rows) == 150
    assert (rows[run.tasks[3]], rows[later]) == ("COMPLETED", "PENDING")
    assert omics.get_run(id=run.run)["status"] == "STOPPING"
