"""`taskgate cancel`, `retry` and `suspend`."""

from __future__ import annotations

import sys
from argparse import Namespace
from uuid import uuid4

from rich.prompt import Confirm
from rich.text import Text

from taskgate.v1 import task_update_pb2
from taskgate_client.client import Client
from taskgate_client.commands.calling import (
    Output,
    command,
    error_as_json,
    exit_code_of_all,
    write_json,
)
from taskgate_client.commands.exit_codes import ExitCode
from taskgate_client.errors import CallError
from taskgate_client.requests import MAX_NAMES


@command
def update(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Cancel, retry or suspend each task."""
    if bool(options.names) == bool(options.parent) or (options.filter and not options.parent):
        return _refuse(options, "give either names, or --parent with an optional --filter")
    names = options.names
    if options.parent:
        listing = client.list_tasks(options.parent, filter=options.filter, timeout=options.timeout)
        names = [task.name for task in listing]
        if names and not options.yes:
            if not sys.stdin.isatty():
                return _refuse(options, f"this affects {len(names)} tasks; confirm with --yes")
            if not Confirm.ask(f"{options.action} {len(names)} tasks?", console=output.err):
                return ExitCode.FAILURE
    names = list(dict.fromkeys(names))
    errors = _update(client, names, options)
    for name in names:
        _print_result(output, options, name, errors[name])
    return exit_code_of_all(error for error in errors.values() if error is not None)


def _update(client: Client, names: list[str], options: Namespace) -> dict[str, CallError | None]:
    action = task_update_pb2.TaskAction.Value(f"TASK_ACTION_{options.action.upper()}")
    errors: dict[str, CallError | None] = {}
    for start in range(0, len(names), MAX_NAMES):
        errors |= client.batch_update_tasks(
            dict.fromkeys(names[start : start + MAX_NAMES], action),
            reason=options.reason,
            request_id=str(uuid4()),
            timeout=options.timeout,
        )
    return errors


def _print_result(output: Output, options: Namespace, name: str, error: CallError | None) -> None:
    if options.json:
        write_json({"name": name, "error": None if error is None else error_as_json(error)})
    elif error is None:
        output.out.print(Text(f"{options.action}: {name}"), soft_wrap=True)
    else:
        output.err.print(Text(name, style="bold"), soft_wrap=True)
        output.print_error(error)


def _refuse(options: Namespace, reason: str) -> ExitCode:
    sys.stderr.write(f"taskgate {options.action}: {reason}\n")
    return ExitCode.USAGE
