"""A TaskService on loopback that returns the responses of a script."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc, task_watch_pb2


class Silence:
    """A part of a stream's script: send nothing until the caller cancels."""


class Failure:
    """A part of a script: the call ends with this status."""

    def __init__(self, code: grpc.StatusCode, message: str = "", *details: Message) -> None:
        self.status = status(code, message, *details)


class FakeTaskService:
    """Responds to each RPC with the next of its scripts, and records the requests.

    A script is a message, a Failure, a function of the request, or for a stream an iterable of
    messages, Failures and Silences. The last script of an RPC is repeated.
    """

    def __init__(self) -> None:
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.timeouts: dict[str, list[float | None]] = defaultdict(list)
        self.metadata: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.cancelled = threading.Event()
        """Set when a caller has ended a stream before its script did."""
        self._scripts: dict[str, deque[Any]] = {}

    def script(self, rpc: str, *responses: Any) -> None:
        """Set the responses of an RPC, one for each call."""
        self._scripts[rpc] = deque(responses)

    def answer(self, rpc: str, request: Message, context: grpc.ServicerContext) -> Any:
        self.requests[rpc].append(request)
        self.timeouts[rpc].append(context.time_remaining())
        self.metadata[rpc].append(dict(context.invocation_metadata()))
        scripts = self._scripts.get(rpc)
        if scripts is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{rpc} has no script")
        script = scripts.popleft() if len(scripts) > 1 else scripts[0]
        if callable(script):
            script = script(request)
        if isinstance(script, Failure):
            context.abort_with_status(rpc_status.to_status(script.status))
        return script

    def stream(
        self, rpc: str, request: Message, context: grpc.ServicerContext
    ) -> Iterator[Message]:
        parts: Iterable[Any] = self.answer(rpc, request, context)
        gone, done = threading.Event(), threading.Event()

        def note_end() -> None:
            gone.set()
            if not done.is_set():
                self.cancelled.set()

        context.add_callback(note_end)
        for part in parts:
            if isinstance(part, Silence):
                gone.wait(30)
            elif isinstance(part, Failure):
                done.set()
                context.abort_with_status(rpc_status.to_status(part.status))
            else:
                yield part
        done.set()


def servicer_of(fake: FakeTaskService) -> task_service_pb2_grpc.TaskServiceServicer:
    """Return the servicer of a fake."""
    methods = {
        method.name: _bound(fake.stream if method.server_streaming else fake.answer, method.name)
        for method in task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].methods
    }
    served = type("Servicer", (task_service_pb2_grpc.TaskServiceServicer,), methods)
    return served()  # type: ignore[no-any-return]  # a class made by type() is Any


def _bound(serve: Callable[..., Any], rpc: str) -> Callable[[object, Any, Any], Any]:
    return lambda _, request, context: serve(rpc, request, context)


@contextmanager
def serving(fake: FakeTaskService, port: int = 0) -> Iterator[str]:
    """Serve the fake; yield its address."""
    server = grpc.server(ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(servicer_of(fake), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        server.stop(grace=None).wait()


def status(code: grpc.StatusCode, message: str = "", *details: Message) -> status_pb2.Status:
    """Return a google.rpc.Status."""
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def bad_field(name: str, description: str) -> error_details_pb2.BadRequest:
    """Return the detail of an INVALID_ARGUMENT error."""
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=name, description=description)
        ]
    )


RUN = "omics/runs/1234567"


def task(number: int, state: int = task_pb2.TASK_STATE_RUNNING, **more: Any) -> task_pb2.Task:
    """Return a task of RUN."""
    name = f"{RUN}/tasks/{number}"
    return task_pb2.Task(name=name, state=state, native_state=f"WORD_{state}", **more)  # type: ignore[arg-type]  # any number is a state


def page(
    *tasks: task_pb2.Task, token: str = "", **more: object
) -> task_service_pb2.ListTasksResponse:
    """Return a page of a list."""
    return task_service_pb2.ListTasksResponse(tasks=tasks, next_page_token=token, **more)  # type: ignore[arg-type]  # any field


def event(token: bytes = b"", **one: Any) -> task_watch_pb2.WatchTasksResponse:
    """Return a message of a watch."""
    return task_watch_pb2.WatchTasksResponse(resume_token=token, **one)


def snapshot(
    *tasks: task_pb2.Task,
    token: bytes = b"",
    reason: task_watch_pb2.SnapshotReason.ValueType = task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH,
) -> list[task_watch_pb2.WatchTasksResponse]:
    """Return the messages of a snapshot, with one task in each."""
    begin = task_watch_pb2.SnapshotBegin(reason=reason)
    end = task_watch_pb2.SnapshotEnd(task_count=len(tasks))
    return [
        event(snapshot_begin=begin),
        *(event(snapshot_tasks=task_watch_pb2.SnapshotTasks(tasks=[each])) for each in tasks),
        event(token, snapshot_end=end),
    ]


def change(
    now: task_pb2.Task,
    before: int = task_pb2.TASK_STATE_RUNNING,
    *,
    kind: int = task_watch_pb2.TASK_CHANGE_KIND_UPDATED,
    token: bytes = b"",
    sequence: int = 1,
) -> task_watch_pb2.WatchTasksResponse:
    """Return the message of a change."""
    task_change = task_watch_pb2.TaskChange(
        kind=kind,  # type: ignore[arg-type]  # any number is a kind
        task=now,
        previous_state=before,  # type: ignore[arg-type]  # any number is a state
        sequence=sequence,
    )
    return event(token, task_change=task_change)


def parent_status(word: str, native: str, **more: Any) -> task_pb2.ParentStatus:
    """Return the status of RUN itself; `word` is the last one of the state's name."""
    state = task_pb2.TaskState.Value(f"TASK_STATE_{word}")
    status = {"state": state, "native_state": native, "ended": True, **more}
    return task_pb2.ParentStatus(name=RUN, **status)


def end(
    reason: int = task_watch_pb2.WATCH_END_REASON_SETTLED,
    parent: task_pb2.ParentStatus | None = None,
    **states: int,
) -> task_watch_pb2.WatchTasksResponse:
    """Return the last message of a watch; counts by the last word of states: `FAILED=2`."""
    counts = task_pb2.TaskCounts(
        total=sum(states.values()),
        states=[
            task_pb2.StateCount(state=task_pb2.TaskState.Value(f"TASK_STATE_{word}"), count=count)
            for word, count in states.items()
        ],
        settled=True,
    )
    last = task_watch_pb2.WatchEnd(reason=reason, counts=counts, parent_status=parent)  # type: ignore[arg-type]  # any number is a reason
    return event(watch_end=last)
