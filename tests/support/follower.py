"""A client that applies the events of a watch, and asserts that the contract allows them."""

from __future__ import annotations

from taskgate.v1 import task_pb2, task_watch_pb2

Response = task_watch_pb2.WatchTasksResponse
ADDED = task_watch_pb2.TASK_CHANGE_KIND_ADDED
UPDATED = task_watch_pb2.TASK_CHANGE_KIND_UPDATED
REMOVED = task_watch_pb2.TASK_CHANGE_KIND_REMOVED


class Picture:
    """The state that results from the events of consecutive watches."""

    def __init__(self) -> None:
        self.tasks: dict[str, task_pb2.Task] = {}
        self.token = b""
        self.sequence = 0
        self.in_snapshot = False
        self.is_complete = False
        self.events: list[str] = []
        self.reasons: list[int] = []
        self.end: task_watch_pb2.WatchEnd | None = None
        self.heartbeat: task_watch_pb2.Heartbeat | None = None
        self.absent: set[str] = set()

    def connect(self) -> None:
        """Begin a new stream."""
        self.in_snapshot = False
        self.events, self.sequence, self.absent = [], 0, set()
        self.end = None

    def take(self, response: Response) -> None:
        kind = response.WhichOneof("event")
        assert kind is not None
        assert self.events or kind in {"snapshot_begin", "resumed"}, "the first event"
        assert self.end is None, "nothing comes after the end"
        self.events.append(kind)
        getattr(self, f"_{kind}")(getattr(response, kind))
        if response.resume_token:
            assert not self.in_snapshot
            self.token = response.resume_token

    def _snapshot_begin(self, begin: task_watch_pb2.SnapshotBegin) -> None:
        assert begin.reason
        self.reasons.append(begin.reason)
        self.tasks, self.in_snapshot, self.token = {}, True, b""
        self.is_complete, self.sequence, self.absent = False, 0, set()

    def _snapshot_tasks(self, some: task_watch_pb2.SnapshotTasks) -> None:
        assert self.in_snapshot
        assert 1 <= len(some.tasks) <= 100
        for task in some.tasks:
            assert task.name not in self.tasks, "each task is in one message only"
            assert task.HasField("observe_time")
            self._store(task)

    def _snapshot_end(self, end: task_watch_pb2.SnapshotEnd) -> None:
        assert self.in_snapshot
        assert end.task_count == len(self.tasks)
        self.in_snapshot, self.is_complete = False, True

    def _resumed(self, _: task_watch_pb2.Resumed) -> None:
        assert self.events == ["resumed"]
        assert self.is_complete

    def _task_change(self, change: task_watch_pb2.TaskChange) -> None:
        assert not self.in_snapshot
        assert change.sequence > self.sequence, "sequences grow"
        self.sequence = change.sequence
        name = change.task.name
        if change.kind == REMOVED:
            assert name in self.tasks or name not in self.absent, f"{name} was not there"
            self.tasks.pop(name, None)
            self.absent.add(name)
            return
        self.absent.discard(name)
        if change.kind == ADDED:
            assert not change.previous_state
        else:
            assert change.kind == UPDATED
            assert name in self.tasks, f"{name} was never added"
        self._store(change.task)

    def _heartbeat(self, beat: task_watch_pb2.Heartbeat) -> None:
        self.heartbeat = beat

    def _watch_end(self, end: task_watch_pb2.WatchEnd) -> None:
        self.end = end

    def _store(self, task: task_pb2.Task) -> None:
        stored = task_pb2.Task()
        stored.CopyFrom(task)
        stored.ClearField("observe_time")
        self.tasks[task.name] = stored
