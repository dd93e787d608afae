"""A fast AWS Deadline Cloud with one job of one step, for `benchmarks.watch`: a process of its own.

It counts calls by operation, and records when it first returned a change.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from typing import Any

from aiohttp import web

FARM, QUEUE, JOB, STEP = (f"{kind}-{'0' * 31}1" for kind in ("farm", "queue", "job", "step"))
IDS = {"farmId": FARM, "queueId": QUEUE, "jobId": JOB, "stepId": STEP}
JOB_NAME = f"deadline/farms/{FARM}/queues/{QUEUE}/jobs/{JOB}"
PATH = re.compile(r".*/jobs/[^/]+(/steps(/[^/]+(/tasks(/[^/]+)?)?)?)?$")
WHEN = "2026-03-02T09:30:00Z"
WORDS = ("READY", "RUNNING", "SUCCEEDED")


def task_id(number: int) -> str:
    """Return the ID of the step's task with this number."""
    return f"task-{1:032x}-{number}"


class Farm:
    """The job, and the calls for it."""

    def __init__(self, tasks: int) -> None:
        self.states = ["READY"] * tasks
        self.versions = [0] * tasks
        self.calls: Counter[str] = Counter()
        self.unreported: set[int] = set()
        self.reported_at: dict[int, float] = {}

    def task(self, number: int) -> dict[str, Any]:
        """Return a task as AWS does; record the time of the first response with a change."""
        if number in self.unreported:
            self.unreported.discard(number)
            self.reported_at[number] = time.time()
        return {
            "taskId": task_id(number),
            "createdAt": WHEN,
            "createdBy": "someone",
            "updatedBy": f"worker-{self.versions[number]}",
            "updatedAt": WHEN,
            "startedAt": WHEN,
            "runStatus": self.states[number],
            "failureRetryCount": 0,
            "parameters": {"Frame": {"int": str(number)}, "Camera": {"string": "main"}},
            "latestSessionActionId": f"sessionaction-{number:032x}-1",
        }

    def step(self) -> dict[str, Any]:
        """Return the step with its counts."""
        return {
            "stepId": STEP,
            "name": "render",
            "lifecycleStatus": "CREATE_COMPLETE",
            "taskRunStatus": "RUNNING",
            "taskRunStatusCounts": Counter(self.states),
            "createdAt": WHEN,
            "createdBy": "someone",
        }

    def move(self, count: int) -> list[str]:
        """Move tasks to their next states, running ones first; return their IDs."""
        moved = [n for n, state in enumerate(self.states) if state == "RUNNING"][:count]
        moved += [n for n, state in enumerate(self.states) if state == "READY"][
            : count - len(moved)
        ]
        for number in moved:
            self.states[number] = WORDS[WORDS.index(self.states[number]) + 1]
            self.versions[number] += 1
            self.unreported.add(number)
        return [task_id(number) for number in moved]

    async def serve(self, request: web.BaseRequest) -> web.Response:
        """Handle a call of AWS's API or of the benchmark."""
        if request.path.startswith("/bench/"):
            return web.json_response(self._bench(request.path.rpartition("/")[2], request.query))
        if request.path.endswith("/batch-get-task"):
            self.calls["BatchGetTask"] += 1
            items = json.loads(await request.read())["identifiers"]
            tasks = [{**IDS, **self.task(_number(item["taskId"]))} for item in items]
            return _respond({"tasks": tasks, "errors": []})
        match = PATH.match(request.path)
        steps, step, tasks_path, task = match.groups() if match else (None,) * 4
        if task:
            self.calls["GetTask"] += 1
            return _respond(self.task(_number(task[1:])))
        if tasks_path:
            self.calls["ListTasks"] += 1
            start = int(request.query.get("nextToken", 0))
            end = min(start + 100, len(self.states))
            more = {"nextToken": str(end)} if end < len(self.states) else {}
            return _respond({"tasks": [self.task(n) for n in range(start, end)], **more})
        name = "GetStep" if step else "ListSteps" if steps else "GetJob"
        self.calls[name] += 1
        return _respond(self.step() if step or not steps else {"steps": [self.step()]})

    def _bench(self, what: str, query: Any) -> Any:
        if what == "move":
            return self.move(int(query["count"]))
        if what == "reported":
            return {task_id(number): at for number, at in self.reported_at.items()}
        return self.calls


def _number(identifier: str) -> int:
    return int(identifier.rpartition("-")[2])


def _respond(value: Any) -> web.Response:
    return web.json_response(value, headers={"x-amzn-RequestId": "r-1"})


async def main(tasks: int) -> None:
    """Print the port, and serve until killed."""
    runner = web.ServerRunner(web.Server(Farm(tasks).serve), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201  # its output
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
