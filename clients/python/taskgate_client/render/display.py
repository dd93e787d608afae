"""The live display of a watch: counts by state, active and failed tasks, and freshness."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgate.v1 import task_pb2
from taskgate_client.events import (
    SETTLED_STATES,
    Heartbeat,
    Reconnecting,
    Snapshot,
    TaskChange,
    WatchedTasks,
    WatchEnd,
    WatchEvent,
)
from taskgate_client.render.lines import describe_end
from taskgate_client.render.tables import bars
from taskgate_client.render.text import (
    age,
    one_line,
    parent_line,
    parent_title,
    run_time,
    short_name,
    span,
    state_text,
)

RATE_WINDOW = timedelta(minutes=5)
"""Period over which the throughput is averaged."""

_ACTIVE = (
    task_pb2.TASK_STATE_RUNNING,
    task_pb2.TASK_STATE_STARTING,
    task_pb2.TASK_STATE_STOPPING,
)
_FAILED = (task_pb2.TASK_STATE_FAILED, task_pb2.TASK_STATE_BLOCKED)
_MIN_ROWS = 2
_FIXED_LINES = 8
"""Title, progress, headings, freshness, and the lines that say how many tasks are left out."""


class WatchDisplay:
    """What the live display of a watch shows. It reads no clock and writes to no terminal.

    Args:
        title: the name of the watched parent, which is left out of the names of its tasks.
        now: the current time, timezone-aware.
    """

    def __init__(self, title: str, now: datetime) -> None:
        self.watched = WatchedTasks()
        self._title = title
        self._start = now
        self._settle_times: deque[datetime] = deque()
        self._last_poll: datetime | None = None
        self._next_poll: datetime | None = None
        self._upstream_error = ""
        self._break: Reconnecting | None = None
        self._break_time = now
        self._reconnects = 0
        self._end: WatchEnd | None = None

    def apply(self, event: WatchEvent, now: datetime) -> None:
        """Update the display with an event that arrived at `now`."""
        self.watched.apply(event)
        if isinstance(event, Reconnecting):
            self._break, self._break_time = event, now
            return
        if self._break is not None:
            self._break = None
            self._reconnects += 1
        match event:
            case Snapshot():
                self._last_poll = event.observe_time or now
            case TaskChange():
                # The server sends changes instead of heartbeats: AWS was polled just now.
                self._last_poll, self._next_poll, self._upstream_error = now, None, ""
                if (
                    event.task.state in SETTLED_STATES
                    and event.previous_state not in SETTLED_STATES
                ):
                    self._settle_times.append(now)
            case Heartbeat():
                self._apply_heartbeat(event, now)
            case WatchEnd():
                self._end = event

    def render(self, now: datetime, height: int) -> RenderableType:
        """Return the display.

        Args:
            now: the current time.
            height: of the terminal, in lines; long lists are cut to fit.
        """
        counts = self.watched.counts
        rows = max(height - _FIXED_LINES - len(counts), 2 * _MIN_ROWS)
        failed = self._in(_FAILED)
        failed_rows = max(_MIN_ROWS, rows // 3)
        parts: list[RenderableType] = [self._heading(now)]
        if counts:
            parts += [bars(counts, len(self.watched.tasks)), self._progress(now)]
        parts += self._active_rows(now, rows - min(failed_rows, len(failed) + 1))
        parts += self._failed_rows(failed, now, failed_rows)
        parts.append(self._freshness(now))
        return Group(*parts)

    def _apply_heartbeat(self, event: Heartbeat, now: datetime) -> None:
        if event.staleness is not None:
            self._last_poll = now - timedelta(seconds=event.staleness)
        self._next_poll = None
        if event.next_poll is not None:
            self._next_poll = now + timedelta(seconds=event.next_poll)
        self._upstream_error = one_line(str(event.upstream_error or ""))

    def _heading(self, now: datetime) -> Text:
        heading = Text(one_line(parent_title(self._title)), style="bold")
        return heading.append(f"  {_since(self._start, now)}", style="dim")

    def _progress(self, now: datetime) -> Text:
        total, settled = len(self.watched.tasks), self.watched.settled_count
        text = Text(f"{settled} of {total} settled")
        while self._settle_times and now - self._settle_times[0] > RATE_WINDOW:
            self._settle_times.popleft()
        seconds = min(now - self._start, RATE_WINDOW).total_seconds()
        if self._settle_times and seconds > 0:
            rate = len(self._settle_times) / seconds
            text.append(f", {60 * rate:.1f} per minute")
            if settled < total:
                text.append(f", about {span((total - settled) / rate)} left")
        return text

    def _in(self, states: Iterable[int]) -> list[task_pb2.Task]:
        by_state = self.watched.by_state
        return [task for state in states for task in by_state.get(state, {}).values()]

    def _active_rows(self, now: datetime, max_rows: int) -> list[RenderableType]:
        active = self._in(_ACTIVE)
        if not active:
            return []
        # The longest running tasks first: people look for these.
        active.sort(key=lambda task: task.start_time.ToNanoseconds() or now.timestamp() * 1e9)
        table = _rows(reasons=False)
        for task in active[:max_rows]:
            table.add_row(self._name(task), state_text(task.state), run_time(task, now))
        return [Text("active", style="dim"), table, *_more(len(active) - max_rows)]

    def _failed_rows(
        self, failed: list[task_pb2.Task], now: datetime, max_rows: int
    ) -> list[RenderableType]:
        if not failed:
            return []
        failed.sort(key=lambda task: -task.end_time.ToNanoseconds())
        table = _rows(reasons=True)
        for task in failed[:max_rows]:
            ended = f"{age(task.end_time, now)} ago" if task.HasField("end_time") else ""
            reason = one_line(task.failure_reason or task.status_message)
            state = state_text(task.state).append(f" {reason}" if reason else "", style="not bold")
            state.no_wrap, state.overflow = True, "ellipsis"
            table.add_row(self._name(task), state, ended)
        return [Text("failed or blocked", style="dim"), table, *_more(len(failed) - max_rows)]

    def _name(self, task: task_pb2.Task) -> Text:
        name = Text(one_line(short_name(task.name, self._title)), no_wrap=True, overflow="ellipsis")
        if task.display_name:
            name.append(f"  {one_line(task.display_name)}", style="italic")
        return name

    def _freshness(self, now: datetime) -> Text:
        if self._end is not None:
            text = Text(describe_end(self._end), style="bold")
            parent = self._end.parent_status
            return text if parent is None else text.append(f"\n{parent_line(parent)}")
        text = Text(style="dim", no_wrap=True, overflow="ellipsis")
        if self._break is not None:
            wait = (self._break_time + timedelta(seconds=self._break.delay) - now).total_seconds()
            retry = f"reconnecting in {wait:.0f} s" if wait > 0 else "reconnecting"
            text.append(f"{retry}, connection lost: ", style="yellow not dim")
            text.append(f"{one_line(str(self._break.error))} ", style="yellow not dim")
        elif self._upstream_error:
            text.append(f"polling AWS failed: {self._upstream_error} ", style="yellow not dim")
        if self._last_poll is None:
            return text.append("" if text else "waiting for the first response")
        text.append(f"AWS polled {_since(self._last_poll, now)} ago")
        if self._next_poll is not None and self._next_poll > now and self._break is None:
            text.append(f", next poll in {_since(now, self._next_poll)}")
        if self._reconnects:
            text.append(f", reconnected {self._reconnects}x")
        return text


def _rows(*, reasons: bool) -> Table:
    """Return an empty table of tasks: name, state with an optional reason, and time."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    # The wider one of names and reasons shrinks first; both are cut, not wrapped. States and times
    # keep their width.
    table.add_column()
    table.add_column(no_wrap=not reasons)
    table.add_column(no_wrap=True, overflow="ellipsis")
    return table


def _more(count: int) -> list[RenderableType]:
    return [Text(f"and {count} more", style="dim")] if count > 0 else []


def _since(start: datetime, end: datetime) -> str:
    return span((end - start).total_seconds())
