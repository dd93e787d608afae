"""States, times, durations and names as text."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from taskgate.v1 import task_pb2
from taskgate_client.events import SETTLED_STATES

STYLES: dict[int, str] = {
    task_pb2.TASK_STATE_PENDING: "dim",
    task_pb2.TASK_STATE_QUEUED: "cyan",
    task_pb2.TASK_STATE_STARTING: "cyan",
    task_pb2.TASK_STATE_RUNNING: "bold blue",
    task_pb2.TASK_STATE_STOPPING: "yellow",
    task_pb2.TASK_STATE_SUSPENDED: "yellow",
    task_pb2.TASK_STATE_SUCCEEDED: "bold green",
    task_pb2.TASK_STATE_FAILED: "bold red",
    task_pb2.TASK_STATE_CANCELLED: "magenta",
    task_pb2.TASK_STATE_BLOCKED: "red",
}

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_LONG_HEX = re.compile(r"([0-9a-f]{8})[0-9a-f]{24}")
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_HIDDEN_LETTERS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xE0100, 0xE01F0)}
"""Invisible characters that Unicode does not count as format characters; see
Default_Ignorable_Code_Point in https://www.unicode.org/reports/tr44/."""


def state_word(state: int) -> str:
    """Return the name of a state, such as RUNNING, or `state 77` for one of a newer server."""
    if state not in task_pb2.TaskState.values():
        return f"state {state}"
    return task_pb2.TaskState.Name(state).removeprefix("TASK_STATE_")  # type: ignore[arg-type]  # it is one of them


def state_style(state: int) -> str:
    """Return the style of a state for rich."""
    return STYLES.get(state, "")


def state_text(state: int) -> Text:
    """Return the name of a state in its style."""
    return Text(state_word(state), style=state_style(state))


def format_time(value: Timestamp) -> str:
    """Return a time in UTC, with the fraction of a second that AWS returned."""
    time = datetime.fromtimestamp(value.seconds, tz=UTC)
    fraction = f".{value.nanos:09}".rstrip("0").rstrip(".")
    return f"{time:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def span(seconds: float) -> str:
    """Return a duration in its two largest units: `8s`, `3m05s`, `2h14m`, `3d04h`."""
    rounded = max(int(seconds), 0)
    for unit, letter, part, part_letter in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "m"),
        (_MINUTE, "m", 1, "s"),
    ):
        if rounded >= unit:
            return f"{rounded // unit}{letter}{rounded % unit // part:02}{part_letter}"
    return f"{rounded}s"


def run_time(task: task_pb2.Task, now: datetime) -> str:
    """Return how long the task ran or has been running; empty if it never ran, or if unknown."""
    if not task.HasField("start_time"):
        return ""
    start = task.start_time.ToDatetime(UTC)
    if task.HasField("end_time") and task.end_time.ToDatetime(UTC) >= start:
        return span((task.end_time.ToDatetime(UTC) - start).total_seconds())
    return "" if task.state in SETTLED_STATES else span((now - start).total_seconds())


def age(value: Timestamp, now: datetime) -> str:
    """Return the time since `value`."""
    return span((now - value.ToDatetime(UTC)).total_seconds())


def short_name(name: str, parent: str) -> str:
    """Return the ids below the parent, with long ones cut; for display only."""
    rest = name.removeprefix(f"{parent}/").split("/")
    ids = rest[1::2] if len(rest) % 2 == 0 else rest
    return _LONG_HEX.sub("\\1…", "/".join(ids))


def parent_title(parent: str) -> str:
    """Return a parent as in `omics run 1234567`; text that is not a name stays unchanged."""
    service, *rest = parent.split("/")
    if not rest or len(rest) % 2 or not all([service, *rest]):
        return parent
    return f"{service} {rest[-2].removesuffix('s')} {rest[-1]}"


def parent_line(parent: task_pb2.ParentStatus) -> str:
    """Return the state of a run, job or step itself, and the reason."""
    line = f"{parent_title(parent.name)} {state_word(parent.state)}"
    natives = {parent.native_state, parent.lifecycle_status if parent.ended else ""}
    details = sorted(natives - {"", "CREATE_COMPLETE", state_word(parent.state)})
    if details:
        line += f" (AWS: {one_line(', '.join(details))})"
    reasons = [one_line(each) for each in (parent.failure_reason, parent.status_message) if each]
    return ": ".join([line, *reasons])


def describe_settled(counts: task_pb2.TaskCounts) -> str:
    """Return whether all of the counted tasks have settled."""
    if not counts.settled:
        return "not settled"
    if all(each.state in SETTLED_STATES for each in counts.states):
        return "all settled"
    return "ended, with tasks that can never settle"


def is_hidden(character: str) -> bool:
    """Return whether a character is invisible: it could control a terminal, or hide text."""
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES or ord(character) in _HIDDEN_LETTERS
    )


class _Visible(dict[int, str]):
    """A table for `str.translate` that computes the replacement of a character at its first use."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_kept = character in "\t\n" or not is_hidden(character)
        shown = self[code] = character if is_kept else "\N{REPLACEMENT CHARACTER}"
        return shown


_VISIBLE = _Visible()


def printable(text: str) -> str:
    """Return untrusted text in a form that is safe to show; tabs and line ends stay.

    Characters that control the terminal, change the order of the text (U+202E) or are invisible
    (U+200B) become replacement characters.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_VISIBLE)


def one_line(text: str) -> str:
    """Return `printable` text on one line."""
    return " ".join(printable(text).split())
