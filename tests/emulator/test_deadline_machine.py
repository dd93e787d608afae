"""Random calls and times on a farm, with invariants after each."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from taskgate_emulator.core.state import Account, Transition
from taskgate_emulator.seeds.ids import FARM_ID, FLEET_ID, QUEUE_ID
from tests.emulator.deadline_jobs import CHUNKED
from tests.emulator.machine import Machine
from tests.support.seeds import examples

JOBS = f"/2023-10-12/farms/{FARM_ID}/queues/{QUEUE_ID}/jobs"
TARGETS = st.sampled_from(["READY", "FAILED", "SUCCEEDED", "CANCELED", "SUSPENDED", "PENDING"])
SETTLED = {"SUCCEEDED", "FAILED", "CANCELED", "SUSPENDED"}
WAITING = {"PENDING", "READY"}
POSSIBLE = {
    "PENDING": {"READY"} | SETTLED,
    "READY": {"ASSIGNED"} | SETTLED,
    "ASSIGNED": {"STARTING", "PENDING"} | SETTLED,
    "STARTING": {"RUNNING", "INTERRUPTING"},
    "RUNNING": {"SUCCEEDED", "FAILED", "READY", "INTERRUPTING"},
    "INTERRUPTING": {"PENDING"} | SETTLED,
    **{word: {"PENDING"} | (SETTLED - {word}) for word in SETTLED},
}
ACTIONS = {
    "STARTING": "ASSIGNED",
    "RUNNING": "RUNNING",
    "INTERRUPTING": "CANCELING",
}


def moment(text: str) -> datetime:
    """Parse a timestamp of a response."""
    return datetime.fromisoformat(text)


class Farm(Machine):
    """Calls, time and pages."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[str] = []
        self.impossible: list[tuple[str, str]] = []
        self.account.listen("deadline.Task", self.on_transition)

    def on_transition(self, _: Account, transition: Transition) -> None:
        if transition.before and transition.after:
            before, after = transition.before["runStatus"], transition.after["runStatus"]
            if before != after and after not in POSSIBLE[before]:
                self.impossible.append((before, after))

    @initialize()
    def start(self) -> None:
        self.create()

    @rule()
    def create(self) -> None:
        if len(self.jobs) < 3:
            body = {"template": CHUNKED, "templateType": "YAML", "priority": 5}
            tags = {"taskgate:failures": str(len(self.jobs)), "taskgate:seconds": "4"}
            job = self.call("POST", JOBS, {**body, "tags": tags, "maxRetriesPerTask": 1})
            self.jobs.append(job["jobId"])

    @rule(seconds=st.floats(0.1, 40))
    def time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.account.settle()

    @rule(word=TARGETS, number=st.integers(0, 40))
    def update_task(self, word: str, number: int) -> None:
        tasks = [key for key in self.account.table("deadline.Task") if key[2] in self.jobs]
        *_, job, step, task = tasks[number % len(tasks)]
        path = f"{JOBS}/{job}/steps/{step}/tasks/{task}"
        self.call("PATCH", path, {"targetRunStatus": word})

    @rule(word=TARGETS, number=st.integers(0, 10))
    def update_step(self, word: str, number: int) -> None:
        job = self.jobs[number % len(self.jobs)]
        steps = self.account.table("deadline.Step").ids(FARM_ID, QUEUE_ID, job)
        path = f"{JOBS}/{job}/steps/{steps[number % len(steps)]}"
        self.call("PATCH", path, {"targetTaskRunStatus": word})

    @rule(word=TARGETS, number=st.integers(0, 3))
    def update_job(self, word: str, number: int) -> None:
        path = f"{JOBS}/{self.jobs[number % len(self.jobs)]}"
        self.call("PATCH", path, {"targetTaskRunStatus": word})

    @rule(size=st.integers(1, 3), seconds=st.floats(0, 9))
    def page(self, size: int, seconds: float) -> None:
        job = self.jobs[0]
        scope = (FARM_ID, QUEUE_ID, job)
        step = self.account.table("deadline.Step").ids(*scope)[1]
        path, seen, token = f"{JOBS}/{job}/steps/{step}/tasks", [], ""
        while True:
            query = f"maxResults={size}" + (f"&nextToken={token}" if token else "")
            response = self.call("GET", path, query=query)
            seen += [task["taskId"] for task in response["tasks"]]
            token = response.get("nextToken", "").replace("=", "%3D")
            if not token:
                break
            self.clock.advance(seconds)
        assert seen == self.account.table("deadline.Task").ids(*scope, step)

    @invariant()
    def counts_add_up(self) -> None:
        for job in self.jobs:
            total: Counter[str] = Counter()
            for step in self.call("GET", f"{JOBS}/{job}/steps")["steps"]:
                tasks = self.call("GET", f"{JOBS}/{job}/steps/{step['stepId']}/tasks")["tasks"]
                counts = Counter(task["runStatus"] for task in tasks)
                assert +Counter(step["taskRunStatusCounts"]) == counts
                # Times are parsed: as text, "...24Z" sorts after "...24.6Z".
                started = [moment(task["startedAt"]) for task in tasks if "startedAt" in task]
                first = step.get("startedAt")
                assert (first and moment(first)) == min(started, default=None)
                total += counts
            assert +Counter(self.call("GET", f"{JOBS}/{job}")["taskRunStatusCounts"]) == total

    @invariant()
    def nothing_impossible_has_happened(self) -> None:
        assert self.impossible == []

    @invariant()
    def actions_agree_with_tasks(self) -> None:
        tasks = self.account.table("deadline.Task")
        actions = self.account.table("deadline.SessionAction")
        for key in tasks:
            task = tasks.record(key) or {}
            wanted = ACTIONS.get(task["runStatus"])
            if wanted and key[2] in self.jobs:
                action = actions.record((*key[:3], task["latestSessionActionId"])) or {}
                assert (action["status"], action["taskId"]) == (wanted, key[-1])

    @invariant()
    def a_worker_has_the_task_that_has_it(self) -> None:
        tasks = self.account.table("deadline.Task")
        busy = 0
        for name, worker in self.account.table("deadline.Worker").records(FARM_ID, FLEET_ID):
            if worker.get("_task") is not None:
                busy += 1
                task = tasks.record(tuple(worker["_task"])) or {}
                assert task["_worker"] == [FLEET_ID, name]
                assert task["runStatus"] in {"ASSIGNED", *ACTIONS}
        on_worker = [
            key
            for key in tasks
            if key[2] in self.jobs
            and (tasks.record(key) or {})["runStatus"] in {"ASSIGNED", *ACTIONS}
        ]
        assert busy == len(on_worker)


TestFarm = Farm.TestCase
TestFarm.settings = settings(
    max_examples=examples(25),
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)
