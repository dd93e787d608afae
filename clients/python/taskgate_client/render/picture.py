"""A watch as a picture that changes: bars of states, what runs, what failed, how fresh it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgate.v1 import task_pb2
from taskgate_client.events import (
    Heartbeat,
    Reconnecting,
    Snapshot,
    TaskChange,
    WatchEnd,
    WatchEvent,
)
from taskgate_client.render.lines import end_words
from taskgate_client.render.tables import bars
from taskgate_client.render.words import (
    age,
    one_line,
    parent_line,
    parent_words,
    run_time,
    short_name,
    span,
    state,
)
from taskgate_client.watched import SETTLED, WatchedTasks

RATE_WINDOW = timedelta(minutes=5)
"""Over how much of the past the throughput is counted."""

_ACTIVE = (
    task_pb2.TASK_STATE_RUNNING,
    task_pb2.TASK_STATE_STARTING,
    task_pb2.TASK_STATE_STOPPING,
)
_TROUBLED = (task_pb2.TASK_STATE_FAILED, task_pb2.TASK_STATE_BLOCKED)
_LEAST_ROWS = 2
_LINES_BESIDE_ROWS = 8
"""Title, counts, headings, freshness, and the lines between them."""


class WatchPicture:
    """What a person wants to know of a watch. Free of clock and terminal.

    Args:
        title: what is watched: a parent's name, from which its tasks' names are told on.
        now: the present time, aware.
    """

    def __init__(self, title: str, now: datetime) -> None:
        self.watched = WatchedTasks()
        self._title = title
        self._began = now
        self._settled: deque[datetime] = deque()
        self._asked: datetime | None = None
        self._next_poll: datetime | None = None
        self._upstream_error = ""
        self._lost: Reconnecting | None = None
        self._lost_at = now
        self._reconnects = 0
        self._end: WatchEnd | None = None

    def apply(self, event: WatchEvent, now: datetime) -> None:
        """Keeps what an event says, heard at `now`."""
        self.watched.apply(event)
        if isinstance(event, Reconnecting):
            self._lost, self._lost_at = event, now
            return
        if self._lost is not None:
            self._lost = None
            self._reconnects += 1
        match event:
            case Snapshot():
                self._asked = event.observe_time or now
            case TaskChange():
                # Changes take the place of heartbeats: AWS has just been asked.
                self._asked, self._next_poll, self._upstream_error = now, None, ""
                if event.task.state in SETTLED and event.previous_state not in SETTLED:
                    self._settled.append(now)
            case Heartbeat():
                self._take_heartbeat(event, now)
            case WatchEnd():
                self._end = event

    def render(self, now: datetime, height: int) -> RenderableType:
        """The picture of this moment.

        Args:
            now: the present time.
            height: how many lines there are; long lists are cut to fit.
        """
        counts = self.watched.counts
        rows = max(height - _LINES_BESIDE_ROWS - len(counts), 2 * _LEAST_ROWS)
        troubled = self._in(_TROUBLED)
        for_troubled = max(_LEAST_ROWS, rows // 3)
        parts: list[RenderableType] = [self._heading(now)]
        if counts:
            parts += [bars(counts, len(self.watched.tasks)), self._progress(now)]
        parts += self._active_rows(now, rows - min(for_troubled, len(troubled) + 1))
        parts += self._troubled_rows(troubled, now, for_troubled)
        parts.append(self._freshness(now))
        return Group(*parts)

    def _take_heartbeat(self, event: Heartbeat, now: datetime) -> None:
        if event.staleness is not None:
            self._asked = now - timedelta(seconds=event.staleness)
        self._next_poll = None
        if event.next_poll is not None:
            self._next_poll = now + timedelta(seconds=event.next_poll)
        self._upstream_error = one_line(str(event.upstream_error or ""))

    def _heading(self, now: datetime) -> Text:
        heading = Text(one_line(parent_words(self._title)), style="bold")
        return heading.append(f"  {_since(self._began, now)}", style="dim")

    def _progress(self, now: datetime) -> Text:
        total, settled = len(self.watched.tasks), self.watched.settled_count
        told = Text(f"{settled} of {total} settled")
        while self._settled and now - self._settled[0] > RATE_WINDOW:
            self._settled.popleft()
        passed = min(now - self._began, RATE_WINDOW).total_seconds()
        if self._settled and passed > 0:
            rate = len(self._settled) / passed
            told.append(f", {60 * rate:.1f} a minute")
            if settled < total:
                left = timedelta(seconds=(total - settled) / rate)
                told.append(f", at that pace {_since(now, now + left)} to go")
        return told

    def _in(self, states: Iterable[int]) -> list[task_pb2.Task]:
        by_state = self.watched.by_state
        return [task for state in states for task in by_state.get(state, {}).values()]

    def _active_rows(self, now: datetime, most: int) -> list[RenderableType]:
        active = self._in(_ACTIVE)
        if not active:
            return []
        # Who has run longest is who people look for.
        active.sort(key=lambda task: task.start_time.ToNanoseconds() or now.timestamp() * 1e9)
        table = _rows(reasons=False)
        for task in active[:most]:
            table.add_row(self._name(task), state(task.state), run_time(task, now))
        return [Text("at work", style="dim"), table, *_more(len(active) - most)]

    def _troubled_rows(
        self, troubled: list[task_pb2.Task], now: datetime, most: int
    ) -> list[RenderableType]:
        if not troubled:
            return []
        troubled.sort(key=lambda task: -task.end_time.ToNanoseconds())
        table = _rows(reasons=True)
        for task in troubled[:most]:
            ended = f"{age(task.end_time, now)} ago" if task.HasField("end_time") else ""
            why = one_line(task.failure_reason or task.status_message)
            told = state(task.state).append(f" {why}" if why else "", style="not bold")
            told.no_wrap, told.overflow = True, "ellipsis"
            table.add_row(self._name(task), told, ended)
        return [Text("in trouble", style="dim"), table, *_more(len(troubled) - most)]

    def _name(self, task: task_pb2.Task) -> Text:
        name = Text(one_line(short_name(task.name, self._title)), no_wrap=True, overflow="ellipsis")
        if task.display_name:
            name.append(f"  {one_line(task.display_name)}", style="italic")
        return name

    def _freshness(self, now: datetime) -> Text:
        if self._end is not None:
            text = Text(end_words(self._end), style="bold")
            parent = self._end.parent_status
            return text if parent is None else text.append(f"\n{parent_line(parent)}")
        told = Text(style="dim", no_wrap=True, overflow="ellipsis")
        if self._lost is not None:
            left = (self._lost_at + timedelta(seconds=self._lost.delay) - now).total_seconds()
            again = f"trying again in {left:.0f} s" if left > 0 else "trying again"
            told.append(f"{again}, the server is lost: ", style="yellow not dim")
            told.append(f"{one_line(str(self._lost.error))} ", style="yellow not dim")
        elif self._upstream_error:
            told.append(f"AWS cannot be asked: {self._upstream_error} ", style="yellow not dim")
        if self._asked is None:
            return told.append("" if told else "waiting for the first answer")
        told.append(f"AWS was asked {_since(self._asked, now)} ago")
        if self._next_poll is not None and self._next_poll > now and self._lost is None:
            told.append(f", next in {_since(now, self._next_poll)}")
        if self._reconnects:
            told.append(f", reconnected {self._reconnects}x")
        return told


def _rows(*, reasons: bool) -> Table:
    """Return an empty table of tasks: name, state, perhaps with a reason, and time."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    # Names and reasons shrink first, the wider one of both; their texts are cut, not wrapped.
    # States and times keep their width.
    table.add_column()
    table.add_column(no_wrap=not reasons)
    table.add_column(no_wrap=True, overflow="ellipsis")
    return table


def _more(count: int) -> list[RenderableType]:
    return [Text(f"and {count} more", style="dim")] if count > 0 else []


def _since(start: datetime, end: datetime) -> str:
    return span((end - start).total_seconds())
