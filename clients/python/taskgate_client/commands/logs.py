"""`taskgate logs`."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import UTC, datetime, timedelta

from rich.text import Text

from taskgate.v1 import task_log_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.calling import Output, as_json, command, write_json
from taskgate_client.commands.exit_codes import ExitCode


@command
def logs(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Print the lines of a task's log, and their source on stderr."""
    log = client.stream_task_logs(
        options.name,
        follow=options.follow,
        since=_since(options.since, output),
        limit=options.limit,
        tail=options.tail,
        attempt=options.attempt,
        timeout=options.timeout,
    )
    printed: task_log_pb2.LogSource | None = None
    with log:
        for line in log:
            if log.source is not None and log.source != printed:
                printed = log.source
                if output.err.is_terminal:
                    output.err.print(_source(printed))
            if options.json:
                write_json(as_json(line))
            else:
                # Output to a file stays unchanged.
                text = render.printable(line.message) if output.out.is_terminal else line.message
                _write(line, text, timestamps=options.timestamps)
    if log.source is not None and not log.source.attempt_count:
        output.err.print(Text("the task has never run", style="dim"))
    return ExitCode.OK


def _since(since: datetime | timedelta | None, output: Output) -> datetime | None:
    return output.clock() - since if isinstance(since, timedelta) else since


def _source(source: task_log_pb2.LogSource) -> Text:
    attempt = f"attempt {source.attempt} of {source.attempt_count}"
    return Text(f"{attempt}, {source.log_group} {source.log_stream}", style="dim")


def _write(line: task_log_pb2.LogLine, text: str, *, timestamps: bool) -> None:
    text = text.removesuffix("\n")
    if timestamps:
        time = line.time.ToDatetime(UTC).isoformat(timespec="milliseconds")
        text = f"{time.replace('+00:00', 'Z')} {text}"
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
