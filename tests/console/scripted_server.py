"""A server for the console whose streams a test scripts, so that its load is exact.

It serves the files of the console and the two RPCs of a parent page by Connect with JSON, as
Taskgate's HTTP endpoint does. Tests that are not about load use Taskgate itself.
"""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from aiohttp import web

import taskgate_server

FILES: Final = Path(taskgate_server.__file__).parent / "console"
JOB: Final = "deadline/farms/farm-1/queues/queue-1/jobs/job-1"
SNAPSHOT_TASKS: Final = 100
"""As many as Taskgate sends in one message."""
_STEPS: Final = 10
_STATES: Final = ("QUEUED", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class BusyJob:
    """A job whose tasks change their state again and again.

    Args:
        tasks: number of tasks, in ten steps.
        changes: number of changes per second, sent 20 times a second as after polls of AWS.
        random: chooses the tasks that change.
    """

    def __init__(self, tasks: int, changes: int, random: Random) -> None:
        self.changes = changes
        self.sent = 0
        self.is_stopped = threading.Event()
        self._random = random
        self._start = datetime.now(UTC)
        self.tasks = [self._task(number, number * _STEPS // tasks) for number in range(tasks)]

    def snapshot(self) -> Iterator[dict[str, Any]]:
        yield {"snapshotBegin": {"reason": "SNAPSHOT_REASON_NEW_WATCH"}}
        for first in range(0, len(self.tasks), SNAPSHOT_TASKS):
            yield {"snapshotTasks": {"tasks": self.tasks[first : first + SNAPSHOT_TASKS]}}
        yield {
            "snapshotEnd": {"taskCount": len(self.tasks), "observeTime": _text(datetime.now(UTC))},
            "resumeToken": "MA==",
        }

    def change(self) -> dict[str, Any]:
        task = self._random.choice(self.tasks)
        previous = task["state"]
        state = _STATES[(_STATES.index(previous.removeprefix("TASK_STATE_")) + 1) % len(_STATES)]
        now = _text(datetime.now(UTC))
        task |= {"state": f"TASK_STATE_{state}", "nativeState": state, "observeTime": now}
        if state == "STARTING":
            task["startTime"] = now
        elif state in {"SUCCEEDED", "FAILED"}:
            task["endTime"] = now
        self.sent += 1
        change = {
            "kind": "TASK_CHANGE_KIND_UPDATED",
            "task": task,
            "previousState": previous,
            "sequence": str(self.sent),
        }
        return {"taskChange": change, "resumeToken": f"{self.sent:08d}"}

    def summary(self) -> dict[str, Any]:
        status = {"name": JOB, "state": "TASK_STATE_RUNNING", "nativeState": "RUNNING"}
        return {"displayName": "Busy job", "parentStatus": status}

    def _task(self, number: int, step: int) -> dict[str, Any]:
        name = f"{JOB}/steps/step-{step}/tasks/task-{step:032x}-{number}"
        # What a task of Deadline Cloud has at AWS, for messages of a realistic size.
        native = {
            "taskId": f"task-{step:032x}-{number}",
            "createdAt": _text(self._start),
            "createdBy": "arn:aws:sts::111122223333:assumed-role/Artists/mara",
            "runStatus": "READY",
            "failureRetryCount": 0,
            "latestSessionActionId": f"sessionaction-{number:032x}-0",
            "parameters": {"Frame": {"int": str(number)}, "Camera": {"string": "main"}},
        }
        return {
            "name": name,
            "state": "TASK_STATE_QUEUED",
            "nativeState": "READY",
            "createTime": _text(self._start + timedelta(milliseconds=step)),
            "parameters": native["parameters"],
            "retryCount": number % 3,
            "observeTime": _text(self._start),
            "deadline": native,
        }


@contextmanager
def serving(job: BusyJob) -> Iterator[str]:
    """Serve a job in a thread of its own; yield the URL of the console."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted-server")
    thread.start()

    async def start() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(_application(job), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    runner, port = run(start())
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        job.is_stopped.set()
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _application(job: BusyJob) -> web.Application:
    async def index(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(FILES / "index.html", headers={"Content-Security-Policy": _POLICY})

    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/connect+json"})
        await response.prepare(request)
        with suppress(ConnectionResetError):
            for message in job.snapshot():
                await response.write(_envelope(message))
            while not job.is_stopped.is_set():
                changes = [_envelope(job.change()) for _ in range(job.changes // 20)]
                await response.write(b"".join(changes))
                await asyncio.sleep(0.05)
        return response

    def unary(respond: Callable[[], dict[str, Any]]) -> Any:
        async def handle(_: web.Request) -> web.StreamResponse:
            return web.json_response(respond())

        return handle

    service = "/taskgate.v1.TaskService"
    application = web.Application()
    application.router.add_get("/", index)
    application.router.add_post(f"{service}/WatchTasks", watch)
    application.router.add_post(f"{service}/SummarizeTasks", unary(job.summary))
    application.router.add_post(f"{service}/GetServerInfo", unary(dict))
    application.router.add_static("/", FILES)
    return application


def _envelope(message: dict[str, Any]) -> bytes:
    content = json.dumps(message).encode()
    return struct.pack(">BI", 0, len(content)) + content


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
