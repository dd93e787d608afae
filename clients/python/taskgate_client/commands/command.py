"""What commands that call a server have in common: connection, consoles, errors, exit codes."""

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
from taskgate_client.commands.connecting import connected
from taskgate_client.commands.exits import Exit
from taskgate_client.errors import CallError


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where a command writes, and where its time comes from."""

    out: Console = field(default_factory=Console)
    err: Console = field(default_factory=lambda: Console(stderr=True))
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def tell(self, error: CallError) -> Exit:
        """Writes an error to stderr and gives the exit code for it."""
        self.err.print(render.error(error))
        return exit_of(error)


Act = Callable[[Client, Screen, Namespace], Exit]


def command(act: Act) -> Callable[[Namespace], int]:
    """A command, of what it does with a client."""

    @wraps(act)
    def run(options: Namespace) -> int:
        screen = Screen()
        try:
            connection = connected(options)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"taskgate: {error}\n")
            return Exit.USAGE
        with connection as client:
            try:
                return act(client, screen, options)
            except CallError as error:
                return screen.tell(error)

    return run


def exit_of(error: CallError) -> Exit:
    """The exit code for an error."""
    if error.code is grpc.StatusCode.NOT_FOUND:
        return Exit.NOT_FOUND
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Exit.TIME_UP
    return Exit.FAILURE


def exit_of_all(errors: Iterable[CallError]) -> Exit:
    """The exit code for some errors of one command: theirs, if it is one and the same."""
    codes = {exit_of(error) for error in errors}
    return codes.pop() if len(codes) == 1 else Exit.FAILURE if codes else Exit.OK


def view_of(options: Namespace) -> task_pb2.TaskView.ValueType:
    """The view that was asked for."""
    return task_pb2.TaskView.Value(f"TASK_VIEW_{options.view.upper()}")


def as_json(message: Message) -> dict[str, Any]:
    """A message as protobuf's JSON, which has AWS's and AIP's camelCase names."""
    return json_format.MessageToDict(message)


def error_as_json(error: CallError) -> dict[str, Any]:
    """An error as JSON."""
    return {"code": error.code.name, "message": error.message, "reason": error.reason}


def write_json(value: dict[str, Any]) -> None:
    """Writes an object as one line, at once."""
    text = json.dumps(value, ensure_ascii=False)
    if not (text.isascii() and text.isprintable()):
        # All of them are in strings, where JSON has an escape for each.
        text = "".join(json.dumps(each)[1:-1] if render.is_hidden(each) else each for each in text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
