"""A stub of TaskService, and the names of jobs, runs and tasks of an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.control import AddedJob, AddedRun
from tests.support.running_server import running_server, settings_for

Stub = task_service_pb2_grpc.TaskServiceStub


def job_name(job: AddedJob) -> str:
    return f"deadline/farms/{job.farm}/queues/{job.queue}/jobs/{job.job}"


def queue_name(job: AddedJob) -> str:
    return f"deadline/farms/{job.farm}/queues/{job.queue}"


def step_name(job: AddedJob, step: int = 0) -> str:
    return f"{job_name(job)}/steps/{job.steps[step]}"


def task_name(job: AddedJob, number: int, step: int = 0) -> str:
    return f"{step_name(job, step)}/tasks/{job.task(number, step)['taskId']}"


def run_name(run: AddedRun) -> str:
    return f"omics/runs/{run.run}"


def run_task_name(run: AddedRun, position: int) -> str:
    return f"{run_name(run)}/tasks/{run.tasks[position]}"


@contextmanager
def stub_of(emulator: Emulator, **settings: Any) -> Iterator[Stub]:
    with (
        running_server(settings_for(emulator.endpoint_url, **settings)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield Stub(channel)


def every_page(
    stub: Stub, request: task_service_pb2.ListTasksRequest
) -> Iterator[task_service_pb2.ListTasksResponse]:
    while True:
        page = stub.ListTasks(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def every_task(stub: Stub, **request: Any) -> list[task_pb2.Task]:
    pages = every_page(stub, task_service_pb2.ListTasksRequest(**request))
    return [task for page in pages for task in page.tasks]
