"""The small parts of all pictures: states, times, durations, names."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from taskgate.v1 import task_pb2
from taskgate_client.names import parse_parent_name
from taskgate_client.watched import SETTLED

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
"""Characters without a width, or without a form, that Unicode does not count as format characters;
see Default_Ignorable_Code_Point in https://www.unicode.org/reports/tr44/."""


def state_word(state: int) -> str:
    """Such as RUNNING; a number that this version does not know keeps its digits."""
    known = task_pb2.TaskState.values()
    if state not in known:  # a state of a newer server
        return f"state {state}"
    return task_pb2.TaskState.Name(state).removeprefix("TASK_STATE_")  # type: ignore[arg-type]  # it is one of them


def state_style(state: int) -> str:
    """The style of a state, as rich takes it."""
    return STYLES.get(state, "")


def state(state: int) -> Text:
    """A state in its colour."""
    return Text(state_word(state), style=state_style(state))


def moment(value: Timestamp) -> str:
    """A time, to the fraction that AWS told."""
    told = datetime.fromtimestamp(value.seconds, tz=UTC)
    fraction = f".{value.nanos:09}".rstrip("0").rstrip(".")
    return f"{told:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def span(seconds: float) -> str:
    """A duration by its two greatest units: `8s`, `3m05s`, `2h14m`, `3d04h`."""
    whole = max(int(seconds), 0)
    for unit, letter, part, part_letter in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "m"),
        (_MINUTE, "m", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit}{letter}{whole % unit // part:02}{part_letter}"
    return f"{whole}s"


def run_time(task: task_pb2.Task, now: datetime) -> str:
    """How long the task ran, or has been running; empty if it never did, or nobody knows."""
    if not task.HasField("start_time"):
        return ""
    start = task.start_time.ToDatetime(UTC)
    if task.HasField("end_time") and task.end_time.ToDatetime(UTC) >= start:
        return span((task.end_time.ToDatetime(UTC) - start).total_seconds())
    return "" if task.state in SETTLED else span((now - start).total_seconds())


def age(value: Timestamp, now: datetime) -> str:
    """How long ago a time was."""
    return span((now - value.ToDatetime(UTC)).total_seconds())


def short_name(name: str, parent: str) -> str:
    """The ids below the parent, the long ones cut: for looking at, not for use."""
    rest = name.removeprefix(f"{parent}/").split("/")
    ids = rest[1::2] if len(rest) % 2 == 0 else rest
    return _LONG_HEX.sub("\\1…", "/".join(ids))


def parent_words(parent: str) -> str:
    """A parent for a heading: `omics run 1234567`; what is no name stays as it is."""
    try:
        name = parse_parent_name(parent)
    except ValueError:
        return parent
    kind = name.collections[-1].removesuffix("s")
    return f"{name.service} {kind} {parent.rpartition('/')[2]}"


def parent_line(parent: task_pb2.ParentStatus) -> str:
    """Return what a run, a job or a step itself is, and why."""
    line = f"{parent_words(parent.name)} {state_word(parent.state)}"
    natives = {parent.native_state, parent.lifecycle_status if parent.ended else ""}
    unsaid = sorted(natives - {"", "CREATE_COMPLETE", state_word(parent.state)})
    if unsaid:
        line += f" (AWS says {one_line(', '.join(unsaid))})"
    why = [one_line(each) for each in (parent.failure_reason, parent.status_message) if each]
    return ": ".join([line, *why])


def settled_words(counts: task_pb2.TaskCounts) -> str:
    """Return whether tasks as a whole have settled."""
    if not counts.settled:
        return "not settled"
    if all(each.state in SETTLED for each in counts.states):
        return "all settled"
    return "ended, with tasks that can never settle"


def is_hidden(character: str) -> bool:
    """Return whether a character has no form of its own: it could command, reorder or hide text."""
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES or ord(character) in _HIDDEN_LETTERS
    )


class _Visible(dict[int, str]):
    """For `str.translate`: what is shown for each character; computed at its first use."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_kept = character in "\t\n" or not is_hidden(character)
        shown = self[code] = character if is_kept else "\N{REPLACEMENT CHARACTER}"
        return shown


_VISIBLE = _Visible()


def printable(text: str) -> str:
    """Return text from others as a terminal may show it; tabs and line ends stay.

    What could command the terminal, change the order of the text (U+202E) or hide in it (U+200B)
    becomes a replacement character.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_VISIBLE)


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(printable(text).split())
