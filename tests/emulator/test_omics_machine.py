"""Anything that callers and time may do to runs, in any order, and what must hold after each."""

from __future__ import annotations

import base64
from collections import Counter
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from taskgate_emulator.core.state import Account, Transition
from tests.emulator.machine import Machine
from tests.support.omics_runs import ENDED, PARAMETERS, ROLE, WDL, zipped
from tests.support.seeds import examples

MAX_RUNS, GROUP_RUNS, GROUP_CPUS = 14, 3, 9
STATIC_RUNS = 10
PLACES = {
    "PENDING": {"STARTING", "STOPPING", "COMPLETED"},
    "STARTING": {"RUNNING", "STOPPING"},
    "RUNNING": {"STOPPING"},
    "STOPPING": {"COMPLETED", "FAILED", "CANCELLED"},
}
"""What may follow; nothing follows an end. A task in the cache is not started."""


class Runs(Machine):
    """Calls, time and pages."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, str | None] = {}
        """Their groups, by id; the newest last."""
        self.numbers = count()
        self.impossible: list[tuple[str, str, str]] = []
        for kind in ("omics.Run", "omics.RunTask"):
            self.account.listen(kind, self.on_transition)

    def on_transition(self, _: Account, transition: Transition) -> None:
        if transition.before and transition.after and transition.key[0] in self.runs:
            before, after = transition.before["status"], transition.after["status"]
            if before != after and after not in PLACES.get(before, {"DELETED"}):
                self.impossible.append((transition.key[0], before, after))

    @initialize()
    def start(self) -> None:
        definition = base64.b64encode(zipped(main_wdl=WDL)).decode()
        body = {"name": "w", "definitionZip": definition, "requestId": "w"}
        self.workflow = self.call("POST", "/workflow", body)["id"]
        limits = {"name": "g", "maxRuns": GROUP_RUNS, "maxCpus": GROUP_CPUS, "requestId": "g"}
        self.group = self.call("POST", "/runGroup", limits)["id"]
        cache = {"cacheS3Location": "s3://bucket/cache", "requestId": "c"}
        self.cache = self.call("POST", "/runCache", cache)["id"]
        self.clock.advance(3)
        for priority in range(3):
            self.start_run(in_group=True, priority=priority, caches=False)

    @rule(in_group=st.booleans(), priority=st.integers(0, 5), caches=st.booleans())
    def start_run(self, *, in_group: bool, priority: int, caches: bool) -> None:
        if len(self.runs) >= MAX_RUNS:
            return
        body = {
            "workflowId": self.workflow,
            "roleArn": ROLE,
            "outputUri": "s3://bucket/runs",
            "parameters": PARAMETERS,
            "priority": priority,
            "requestId": f"run {next(self.numbers)}",
            **({"runGroupId": self.group} if in_group else {}),
            **({"cacheId": self.cache} if caches else {}),
        }
        run = self.call("POST", "/run", body)["id"]
        self.runs[run] = self.group if in_group else None
        assert self.call("POST", "/run", body)["id"] == run  # the same token, the same run

    @rule(seconds=st.floats(0.1, 90))
    def time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.account.settle()

    @rule(number=st.integers(0, 20))
    def cancel(self, number: int) -> None:
        if self.runs:
            self.call("POST", f"/run/{list(self.runs)[number % len(self.runs)]}/cancel")

    @rule(number=st.integers(0, 20))
    def delete(self, number: int) -> None:
        run = list(self.runs)[number % len(self.runs)] if self.runs else None
        if run is not None and self.call("GET", f"/run/{run}")["status"] in ENDED:
            self.call("DELETE", f"/run/{run}")
            del self.runs[run]

    @rule(name=st.sampled_from(["Align-0-0", "Align-0-1", "Merge"]), times=st.integers(1, 3))
    def fail(self, name: str, times: int) -> None:
        self.emulator.runs.fail(name, times=times)

    @rule(size=st.integers(1, 3), seconds=st.floats(0, 30))
    def page(self, size: int, seconds: float) -> None:
        """Rows that are there throughout come once, while the tasks move."""
        for run in list(self.runs)[:1]:
            before = self.account.table("omics.RunTask").ids(run)
            seen, token = [], ""
            while True:
                query = f"maxResults={size}" + (f"&startingToken={token}" if token else "")
                response = self.call("GET", f"/run/{run}/task", query=query)
                seen += [task["taskId"] for task in response["items"]]
                token = response.get("nextToken", "").replace("=", "%3D")
                if not token:
                    break
                self.clock.advance(seconds)
            after = self.account.table("omics.RunTask").ids(run)
            assert len(seen) == len(set(seen))
            assert set(before) <= set(seen) <= set(after)

    def tasks_of(self, run: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/run/{run}/task", query="maxResults=100")[
            "items"
        ]
        return found

    @invariant()
    def nothing_impossible_has_happened(self) -> None:
        assert self.impossible == []

    @invariant()
    def responses_are_consistent(self) -> None:
        listed = {row["id"]: row["status"] for row in self.call("GET", "/run")["items"]}
        by_status = Counter(
            row["id"]
            for status in [*PLACES, *ENDED]
            for row in self.call("GET", "/run", query=f"status={status}")["items"]
        )
        assert by_status == Counter(listed.keys())  # no run in two places
        active, cpus = Counter[str | None](), 0
        for run, group in self.runs.items():
            found = self.call("GET", f"/run/{run}")
            assert found["status"] == listed[run]
            tasks = self.tasks_of(run)
            tasks_agree_with_their_run(found["status"], tasks)
            if has_capacity(found):
                active[group] += 1
            if group is not None:
                cpus += sum(task["cpus"] for task in tasks if has_capacity(task))
        assert active.total() <= STATIC_RUNS
        assert active[self.group] <= GROUP_RUNS
        assert cpus <= GROUP_CPUS


def has_capacity(found: dict[str, Any]) -> bool:
    """A run or task that is cancelled before it starts is STOPPING without capacity."""
    return found["status"] in {"STARTING", "RUNNING"} or (
        found["status"] == "STOPPING" and "startTime" in found
    )


def tasks_agree_with_their_run(status: str, tasks: list[dict[str, Any]]) -> None:
    words = {task["status"] for task in tasks}
    if status in ENDED:
        assert words <= ENDED
    if status == "COMPLETED":
        done = Counter(task["name"] for task in tasks if task["status"] == "COMPLETED")
        assert done == Counter({"Align-0-0": 1, "Align-0-1": 1, "Merge": 1})
    if status in {"PENDING", "STARTING"}:
        assert not words


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=examples(25),
    stateful_step_count=20,
    suppress_health_check=list(HealthCheck),
)
