"""`taskgate get`, `list`, `summary`, `info` and `health`."""

from __future__ import annotations

import sys
from argparse import Namespace
from itertools import islice

from google.protobuf import json_format
from rich.text import Text

from taskgate.v1 import task_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.calling import (
    Output,
    as_json,
    command,
    exit_code_of_all,
    view_of,
    write_json,
)
from taskgate_client.commands.exit_codes import ExitCode, exit_code_of_counts
from taskgate_client.errors import CallError
from taskgate_client.listing import TaskListing


@command
def get(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Show one task in full, or several in a table."""
    if len(options.names) == 1 and options.view == "full":
        task = client.get_task(options.names[0], max_age=options.max_age, timeout=options.timeout)
        if options.json:
            sys.stdout.write(json_format.MessageToJson(task) + "\n")
        else:
            output.out.print(render.task(task))
        return ExitCode.OK
    results = client.batch_get_tasks(
        options.names,
        view=view_of(options),
        max_age=options.max_age,
        timeout=options.timeout,
    )
    tasks = [each for each in results if isinstance(each, task_pb2.Task)]
    if options.json:
        for task in tasks:
            write_json(as_json(task))
    elif tasks:
        output.out.print(render.task_table(tasks, "", output.clock(), width=output.out.width))
    for name, each in zip(options.names, results, strict=True):
        if isinstance(each, CallError):
            output.err.print(Text(name, style="bold"))
            output.print_error(each)
    return exit_code_of_all(each for each in results if isinstance(each, CallError))


@command
def list_(client: Client, output: Output, options: Namespace) -> ExitCode:
    """List the tasks of a parent."""
    listing = client.list_tasks(
        options.parent,
        filter=options.filter,
        view=view_of(options),
        page_size=options.page_size,
        max_age=options.max_age,
        timeout=options.timeout,
    )
    tasks = islice(listing, options.limit)
    if options.json:
        for task in tasks:
            write_json(as_json(task))
    elif options.names:
        for task in tasks:
            sys.stdout.write(f"{task.name}\n")
    else:
        shown = list(tasks)
        if shown:
            output.out.print(
                render.task_table(
                    shown,
                    options.parent,
                    output.clock(),
                    width=output.out.width,
                    parameters=options.parameters,
                )
            )
        output.err.print(Text(_count(len(shown), listing), style="dim"))
    if listing.incomplete_reason:
        output.err.print(Text(f"incomplete: {listing.incomplete_reason}", style="yellow"))
    return ExitCode.OK


@command
def summary(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Count the tasks of a parent; the exit code is that of the parent once it has ended."""
    response = client.summarize_tasks(
        options.parent, max_age=options.max_age, timeout=options.timeout
    )
    if options.json:
        write_json(as_json(response))
    else:
        output.out.print(render.summary(response, options.parent))
    if not response.parent_status.ended:
        return ExitCode.OK
    return exit_code_of_counts(response.counts, response.parent_status)


@command
def info(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Show the version of a server and its AWS services."""
    response = client.get_server_info(timeout=options.timeout)
    if options.json:
        write_json(as_json(response))
    else:
        output.out.print(render.server_info(response))
    return ExitCode.OK


@command
def health(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Report whether a server is serving; for probes, every error gives the same exit code."""
    try:
        serving = client.is_serving(options.service, timeout=options.timeout)
    except CallError as error:
        output.print_error(error)
        return ExitCode.FAILURE
    status = "SERVING" if serving else "NOT_SERVING"
    if options.json:
        write_json({"status": status})
    else:
        sys.stdout.write(f"{status}\n")
    return ExitCode.OK if serving else ExitCode.FAILURE


def _count(shown: int, listing: TaskListing) -> str:
    if listing.total_size is None or listing.total_size == shown:
        return "1 task" if shown == 1 else f"{shown} tasks"
    return f"{shown} of {listing.total_size} tasks"
