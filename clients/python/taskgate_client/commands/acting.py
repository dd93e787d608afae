"""`taskgate cancel`, `retry` and `suspend`."""

from __future__ import annotations

import sys
from argparse import Namespace
from uuid import uuid4

from rich.prompt import Confirm
from rich.text import Text

from taskgate.v1 import task_update_pb2
from taskgate_client.client import Client
from taskgate_client.commands.command import (
    Screen,
    command,
    error_as_json,
    exit_of_all,
    write_json,
)
from taskgate_client.commands.exits import Exit
from taskgate_client.errors import CallError
from taskgate_client.requests import MAX_NAMES


@command
def act(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Does to each task what the command is called."""
    if bool(options.names) == bool(options.parent) or (options.filter and not options.parent):
        return _refuse(options, "give either names, or --parent with or without --filter")
    names = options.names
    if options.parent:
        listing = client.list_tasks(
            options.parent, filter=options.filter, time_limit=options.time_limit
        )
        names = [task.name for task in listing]
        if names and not options.yes:
            if not sys.stdin.isatty():
                return _refuse(options, f"--yes is missing; it would be {len(names)} tasks")
            if not Confirm.ask(f"{options.action} {len(names)} tasks?", console=screen.err):
                return Exit.FAILURE
    names = list(dict.fromkeys(names))
    errors = _update(client, names, options)
    for name in names:
        _tell(screen, options, name, errors[name])
    return exit_of_all(error for error in errors.values() if error is not None)


def _update(client: Client, names: list[str], options: Namespace) -> dict[str, CallError | None]:
    action = task_update_pb2.TaskAction.Value(f"TASK_ACTION_{options.action.upper()}")
    done: dict[str, CallError | None] = {}
    for start in range(0, len(names), MAX_NAMES):
        done |= client.batch_update_tasks(
            dict.fromkeys(names[start : start + MAX_NAMES], action),
            reason=options.reason,
            request_id=str(uuid4()),
            time_limit=options.time_limit,
        )
    return done


def _tell(screen: Screen, options: Namespace, name: str, error: CallError | None) -> None:
    if options.json:
        write_json({"name": name, "error": None if error is None else error_as_json(error)})
    elif error is None:
        screen.out.print(Text(f"{options.action}: {name}"), soft_wrap=True)
    else:
        screen.err.print(Text(name, style="bold"), soft_wrap=True)
        screen.tell(error)


def _refuse(options: Namespace, why: str) -> Exit:
    sys.stderr.write(f"taskgate {options.action}: {why}\n")
    return Exit.USAGE
