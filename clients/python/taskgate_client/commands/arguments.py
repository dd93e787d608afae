"""Arguments of the commands that call a server.

A command is registered by its module and function, which are imported when it runs: `--help` has to
be fast.
"""

from __future__ import annotations

import argparse
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from taskgate_client.commands.connection import add_connection_options

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # it has no public name

TASK = "such as omics/runs/1234567/tasks/7654321"
PARENT = "a job, step, queue or run, such as omics/runs/1234567"
COUNTED_PARENT = "a job, step or run, such as omics/runs/1234567"

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+|\d+(?:\.\d+)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def add_commands(commands: Commands) -> None:
    """Add the commands that call a server."""
    _add_get(commands)
    _add_list(commands)
    _add_summary(commands)
    _add_watch(commands)
    _add_wait(commands)
    _add_logs(commands)
    for action, description in (
        ("cancel", "cancel tasks"),
        ("retry", "queue tasks again"),
        ("suspend", "suspend tasks until they are retried"),
    ):
        _add_update(commands, action, f"{description} (Deadline Cloud)")
    _add_open(commands)
    _add_info(commands)
    _add_health(commands)


def duration(text: str) -> float:
    """Parse a duration such as `90`, `1.5`, `10m` or `2h30m` into seconds."""
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration; use a form such as 90, 10m or 2h30m"
        )
    return sum(float(count) * _UNITS.get(unit, 1.0) for count, unit in _PART.findall(text))


def time_or_age(text: str) -> datetime | timedelta:
    """Parse a time such as `2026-11-01T09:30:00Z`, or an age such as `10m`."""
    if _DURATION.fullmatch(text):
        return timedelta(seconds=duration(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration, such as 10m, nor a time, such as 2026-11-01T09:30:00Z"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def positive_int(text: str) -> int:
    """Parse an integer that is at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)


def _add_get(commands: Commands) -> None:
    parser = _command(commands, "get", "show tasks", "read:get", timeout=30)
    parser.add_argument("names", nargs="+", metavar="NAME", help=TASK)
    _add_view(parser, "full")
    _add_max_age(parser)


def _add_list(commands: Commands) -> None:
    parser = _command(commands, "list", "list the tasks of a parent", "read:list_", timeout=30)
    parser.add_argument("parent", metavar="PARENT", help=PARENT)
    parser.add_argument(
        "--filter", default="", help="such as 'state = FAILED'; see docs/filters.md"
    )
    parser.add_argument("--limit", type=positive_int, help="stop after this many tasks")
    parser.add_argument("-q", "--names", action="store_true", help="print only the names")
    parser.add_argument("-p", "--parameters", action="store_true", help="show parameters")
    parser.add_argument("--page-size", type=positive_int, default=0, help="tasks per request")
    _add_view(parser, "basic")
    _add_max_age(parser)


def _add_summary(commands: Commands) -> None:
    parser = _command(
        commands, "summary", "count a parent's tasks by state", "read:summary", timeout=30
    )
    parser.add_argument("parent", metavar="PARENT", help=COUNTED_PARENT)
    _add_max_age(parser)


def _add_watch(commands: Commands) -> None:
    parser = _command(commands, "watch", "follow changes of tasks", "watch:watch")
    parser.add_argument("names", nargs="+", metavar="NAME", help="one parent, or tasks")
    parser.add_argument(
        "--until-settled", action="store_true", help="end when no task will change by itself"
    )
    parser.add_argument("--plain", action="store_true", help="print lines, not a live display")
    parser.add_argument("--heartbeat", type=duration, help="1s to 60s; default: 10s")
    _add_view(parser, "basic")


def _add_wait(commands: Commands) -> None:
    parser = _command(commands, "wait", "wait until a task has settled", "watch:wait")
    parser.add_argument("name", metavar="NAME", help=TASK)
    parser.add_argument(
        "--state",
        dest="states",
        action="append",
        default=[],
        type=str.upper,
        help="wait for this state instead, such as RUNNING; can be repeated",
    )


def _add_logs(commands: Commands) -> None:
    parser = _command(commands, "logs", "print the log of a task", "logs:logs")
    parser.add_argument("name", metavar="NAME", help=TASK)
    parser.add_argument("-f", "--follow", action="store_true", help="continue until it settles")
    parser.add_argument("--tail", type=positive_int, default=0, help="start with this many lines")
    parser.add_argument("--limit", type=positive_int, default=0, help="stop after this many lines")
    parser.add_argument("--since", type=time_or_age, help="10m, or 2026-11-01T09:30:00Z")
    parser.add_argument("--attempt", type=positive_int, help="from 1; default: the latest")
    parser.add_argument("-t", "--timestamps", action="store_true", help="print the time of lines")


def _add_update(commands: Commands, action: str, description: str) -> None:
    parser = _command(commands, action, description, "update:update", timeout=60)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as from list --names")
    parser.add_argument("--parent", help="all tasks of this job, step or queue, instead of names")
    parser.add_argument("--filter", default="", help="with --parent: only matching tasks")
    parser.add_argument("--reason", default="", help="reason for the server's log")
    parser.add_argument("-y", "--yes", action="store_true", help="with --parent: do not confirm")
    parser.set_defaults(action=action)


def _add_open(commands: Commands) -> None:
    description = "open a page of the web console"
    parser = commands.add_parser("open", help=description, description=f"O{description[1:]}.")
    parser.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="a task or a parent; default: start"
    )
    parser.add_argument(
        "--console",
        metavar="URL",
        default=os.environ.get("TASKGATE_CONSOLE", ""),
        help="address of the console; default: port 8080 on the host of --address",
    )
    parser.add_argument("--print", action="store_true", help="only print the address")
    add_connection_options(parser)
    parser.set_defaults(run=f"{__package__}.console:open_")


def _add_info(commands: Commands) -> None:
    _command(commands, "info", "show a server's version and services", "read:info", timeout=30)


def _add_health(commands: Commands) -> None:
    parser = _command(
        commands, "health", "exit with 0 if the server is serving", "read:health", timeout=3
    )
    parser.add_argument("--service", default="", help="full name of a gRPC service; default: all")


def _command(
    commands: Commands, name: str, description: str, run: str, *, timeout: float | None = None
) -> argparse.ArgumentParser:
    """Add a command that calls a server.

    Args:
        commands: where to add it.
        name: of the command.
        description: for `--help`, without capital and full stop.
        run: `module:function` within this package.
        timeout: default of `--timeout`, in seconds; None for no limit.
    """
    sentence = f"{description[0].upper()}{description[1:]}."
    parser = commands.add_parser(name, help=description, description=sentence)
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    add_connection_options(parser)
    default = "none" if timeout is None else "%(default)gs"
    parser.add_argument(
        "--timeout",
        type=duration,
        default=timeout,
        help=f"give up after this, such as 90s or 10m; default: {default}",
    )
    parser.set_defaults(run=f"{__package__}.{run}")
    return parser


def _add_view(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--view",
        choices=("basic", "full"),
        default=default,
        help="detail of each task; default: %(default)s",
    )


def _add_max_age(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-age", type=duration, help="maximum age of the response; 0 always queries AWS"
    )
