"""What commands that call a server share: the connection, output, errors and exit codes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console

from taskgate.v1 import task_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.connection import connect_from
from taskgate_client.commands.exit_codes import ExitCode
from taskgate_client.errors import CallError


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a command prints, and its clock."""

    out: Console = field(default_factory=Console)
    err: Console = field(default_factory=lambda: Console(stderr=True))
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def print_error(self, error: CallError) -> ExitCode:
        """Print an error to stderr and return its exit code."""
        self.err.print(render.error(error))
        return exit_code_of(error)


Body = Callable[[Client, Output, Namespace], ExitCode]


def command(body: Body) -> Callable[[Namespace], int]:
    """Decorate the body of a command: connect a client, run the body, and print its errors."""

    @wraps(body)
    def run(options: Namespace) -> int:
        output = Output()
        try:
            connection = connect_from(options)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"taskgate: {error}\n")
            return ExitCode.USAGE
        with connection as client:
            try:
                return body(client, output, options)
            except CallError as error:
                return output.print_error(error)

    return run


def exit_code_of(error: CallError) -> ExitCode:
    """Return the exit code for an error."""
    if error.code is grpc.StatusCode.NOT_FOUND:
        return ExitCode.NOT_FOUND
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ExitCode.TIMED_OUT
    return ExitCode.FAILURE


def exit_code_of_all(errors: Iterable[CallError]) -> ExitCode:
    """Return the exit code that the errors have in common, else FAILURE; OK without errors."""
    codes = {exit_code_of(error) for error in errors}
    return codes.pop() if len(codes) == 1 else ExitCode.FAILURE if codes else ExitCode.OK


def view_of(options: Namespace) -> task_pb2.TaskView.ValueType:
    """Return the view that `--view` selects."""
    return task_pb2.TaskView.Value(f"TASK_VIEW_{options.view.upper()}")


def as_json(message: Message) -> dict[str, Any]:
    """Convert a message to protobuf's JSON form, whose names are in camelCase."""
    return json_format.MessageToDict(message)


def error_as_json(error: CallError) -> dict[str, Any]:
    """Convert an error to a JSON object."""
    return {"code": error.code.name, "message": error.message, "reason": error.reason}


def write_json(value: dict[str, Any]) -> None:
    """Write an object as one line to stdout and flush."""
    text = json.dumps(value, ensure_ascii=False)
    if not (text.isascii() and text.isprintable()):
        # Such characters occur only inside strings, where JSON has an escape for each.
        text = "".join(json.dumps(each)[1:-1] if render.is_hidden(each) else each for each in text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
