"""`taskgate logs`."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import UTC, datetime, timedelta

from rich.text import Text

from taskgate.v1 import task_log_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.command import Screen, as_json, command, write_json
from taskgate_client.commands.exits import Exit


@command
def logs(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Prints the lines of a task's log, and where they come from on stderr."""
    log = client.stream_task_logs(
        options.name,
        follow=options.follow,
        since=_since(options.since, screen),
        limit=options.limit,
        tail=options.tail,
        attempt=options.attempt,
        time_limit=options.time_limit,
    )
    told: task_log_pb2.LogSource | None = None
    with log:
        for line in log:
            if log.source is not None and log.source != told:
                told = log.source
                if screen.err.is_terminal:
                    screen.err.print(_source(told))
            if options.json:
                write_json(as_json(line))
            else:
                # What goes to a file stays as it was written.
                text = render.printable(line.message) if screen.out.is_terminal else line.message
                _write(line, text, timestamps=options.timestamps)
    if log.source is not None and not log.source.attempt_count:
        screen.err.print(Text("the task has never run", style="dim"))
    return Exit.OK


def _since(told: datetime | timedelta | None, screen: Screen) -> datetime | None:
    return screen.clock() - told if isinstance(told, timedelta) else told


def _source(source: task_log_pb2.LogSource) -> Text:
    attempt = f"attempt {source.attempt} of {source.attempt_count}"
    return Text(f"{attempt}, {source.log_group} {source.log_stream}", style="dim")


def _write(line: task_log_pb2.LogLine, text: str, *, timestamps: bool) -> None:
    text = text.removesuffix("\n")
    if timestamps:
        moment = line.time.ToDatetime(UTC).isoformat(timespec="milliseconds")
        text = f"{moment.replace('+00:00', 'Z')} {text}"
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
