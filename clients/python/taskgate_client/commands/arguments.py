"""The arguments of the caller's commands. Imports nothing heavy: `--help` has to be quick.

What a command does is named by its module and function, and loaded when it is run.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from taskgate_client.commands import values
from taskgate_client.commands.connecting import add_connection

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # it has no other name

TASK = "such as omics/runs/1234567/tasks/7654321"
PARENT = "a job, a step, a queue or a run, such as omics/runs/1234567"
SHELLS = ("bash", "zsh", "fish")


def add_commands(commands: Commands) -> None:
    """Adds all commands that call a server."""
    _add_get(commands)
    _add_list(commands)
    _add_summary(commands)
    _add_watch(commands)
    _add_wait(commands)
    _add_logs(commands)
    for verb, what in (
        ("cancel", "end tasks"),
        ("retry", "queue tasks again"),
        ("suspend", "hold tasks until somebody retries them"),
    ):
        _add_verb(commands, verb, f"{what} (Deadline Cloud)")
    _add_info(commands)
    _add_health(commands)


def add_completion(commands: Commands, root: argparse.ArgumentParser) -> None:
    """Adds the command that completes all others."""
    parser = commands.add_parser("completion", help="print a shell's completion script")
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run="taskgate_client.commands.completion:completion", root=root)


def _add_get(commands: Commands) -> None:
    parser = _command(commands, "get", "show tasks", "reading:get", time_limit=30)
    parser.add_argument("names", nargs="+", metavar="NAME", help=TASK)
    _add_view(parser, "full")
    _add_max_age(parser)


def _add_list(commands: Commands) -> None:
    parser = _command(commands, "list", "list the tasks of a parent", "reading:list_", 30)
    parser.add_argument("parent", metavar="PARENT", help=PARENT)
    parser.add_argument(
        "--filter", default="", help="such as 'state = FAILED'; see docs/filters.md"
    )
    parser.add_argument("--limit", type=values.count, help="stop after so many")
    parser.add_argument("-q", "--names", action="store_true", help="print names only")
    parser.add_argument("-p", "--parameters", action="store_true", help="show what each was given")
    parser.add_argument(
        "--page-size", type=values.count, default=0, help="how many to ask for at once"
    )
    _add_view(parser, "basic")
    _add_max_age(parser)


def _add_summary(commands: Commands) -> None:
    parser = _command(commands, "summary", "count a parent's tasks by state", "reading:summary", 30)
    parser.add_argument("parent", metavar="PARENT", help=PARENT)
    _add_max_age(parser)


def _add_watch(commands: Commands) -> None:
    parser = _command(commands, "watch", "follow tasks as they change", "watching:watch")
    parser.add_argument("names", nargs="+", metavar="NAME", help="a parent, or tasks")
    parser.add_argument(
        "--until-settled", action="store_true", help="end when nothing can happen any more"
    )
    parser.add_argument("--plain", action="store_true", help="lines instead of a picture")
    parser.add_argument("--heartbeat", type=values.duration, help="1s to 60s; default: 10s")
    _add_view(parser, "basic")


def _add_wait(commands: Commands) -> None:
    parser = _command(commands, "wait", "wait until a task has settled", "watching:wait")
    parser.add_argument("name", metavar="NAME", help=TASK)
    parser.add_argument(
        "--state",
        dest="states",
        action="append",
        default=[],
        type=str.upper,
        help="wait for this state instead, such as RUNNING; may be given more than once",
    )


def _add_logs(commands: Commands) -> None:
    parser = _command(commands, "logs", "print what a task has written", "logs:logs")
    parser.add_argument("name", metavar="NAME", help=TASK)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the task settles")
    parser.add_argument("--tail", type=values.count, default=0, help="only so many last lines")
    parser.add_argument("--limit", type=values.count, default=0, help="stop after so many lines")
    parser.add_argument("--since", type=values.moment, help="10m, or 2026-11-01T09:30:00Z")
    parser.add_argument("--attempt", type=values.count, help="from 1; default: the latest")
    parser.add_argument(
        "-t", "--timestamps", action="store_true", help="put times before the lines"
    )


def _add_verb(commands: Commands, verb: str, what: str) -> None:
    parser = _command(commands, verb, what, "acting:act", time_limit=60)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as those of list --names")
    parser.add_argument("--parent", help="instead of names: all tasks of a job, step or queue")
    parser.add_argument("--filter", default="", help="with --parent: only these")
    parser.add_argument("--reason", default="", help="why, for the server's log")
    parser.add_argument("-y", "--yes", action="store_true", help="with --parent: do not ask")
    parser.set_defaults(action=verb)


def _add_info(commands: Commands) -> None:
    _command(commands, "info", "show what a server serves", "server:info", time_limit=30)


def _add_health(commands: Commands) -> None:
    parser = _command(commands, "health", "exit 0 if the server is serving", "server:health", 3)
    parser.add_argument("--service", default="", help="full name of a gRPC service; default: all")


def _command(
    commands: Commands, name: str, what: str, run: str, time_limit: float | None = None
) -> argparse.ArgumentParser:
    """A command that calls a server; `run` is the module in this package and the function."""
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--json", action="store_true", help="for scripts, an object per line")
    add_connection(parser)
    limit = "none" if time_limit is None else "%(default)gs"
    parser.add_argument(
        "--time-limit",
        type=values.duration,
        default=time_limit,
        help=f"give up after this, such as 90s or 10m; default: {limit}",
    )
    parser.set_defaults(run=f"{__package__}.{run}")
    return parser


def _add_view(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--view",
        choices=("basic", "full"),
        default=default,
        help="how much to tell of each task; default: %(default)s",
    )


def _add_max_age(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-age", type=values.duration, help="how old the answer may be; 0 has AWS asked"
    )
