"""`taskgate get`, `list` and `summary`."""

from __future__ import annotations

import sys
from argparse import Namespace
from itertools import islice

from google.protobuf import json_format
from rich.text import Text

from taskgate.v1 import task_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.command import (
    Screen,
    as_json,
    command,
    exit_of_all,
    view_of,
    write_json,
)
from taskgate_client.commands.exits import Exit, exit_of_counts
from taskgate_client.errors import CallError
from taskgate_client.listing import TaskListing


@command
def get(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Shows one task whole, or some in a table."""
    if len(options.names) == 1 and options.view == "full":
        task = client.get_task(
            options.names[0], max_age=options.max_age, time_limit=options.time_limit
        )
        if options.json:
            sys.stdout.write(json_format.MessageToJson(task) + "\n")
        else:
            screen.out.print(render.task(task))
        return Exit.OK
    results = client.batch_get_tasks(
        options.names,
        view=view_of(options),
        max_age=options.max_age,
        time_limit=options.time_limit,
    )
    tasks = [each for each in results if isinstance(each, task_pb2.Task)]
    if options.json:
        for task in tasks:
            write_json(as_json(task))
    elif tasks:
        screen.out.print(render.task_table(tasks, "", screen.clock(), width=screen.out.width))
    for name, each in zip(options.names, results, strict=True):
        if isinstance(each, CallError):
            screen.err.print(Text(name, style="bold"))
            screen.tell(each)
    return exit_of_all(each for each in results if isinstance(each, CallError))


@command
def list_(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Lists the tasks of a parent."""
    listing = client.list_tasks(
        options.parent,
        filter=options.filter,
        view=view_of(options),
        page_size=options.page_size,
        max_age=options.max_age,
        time_limit=options.time_limit,
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
            screen.out.print(
                render.task_table(
                    shown,
                    options.parent,
                    screen.clock(),
                    width=screen.out.width,
                    parameters=options.parameters,
                )
            )
        screen.err.print(Text(_count(len(shown), listing), style="dim"))
    if listing.incomplete_reason:
        screen.err.print(Text(f"not all: {listing.incomplete_reason}", style="yellow"))
    return Exit.OK


@command
def summary(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Count the tasks of a parent; the exit code says how it has ended, if it has."""
    response = client.summarize_tasks(
        options.parent, max_age=options.max_age, time_limit=options.time_limit
    )
    if options.json:
        write_json(as_json(response))
    else:
        screen.out.print(render.summary(response, options.parent))
    if not response.parent_status.ended:
        return Exit.OK
    return exit_of_counts(response.counts, response.parent_status)


def _count(shown: int, listing: TaskListing) -> str:
    if listing.total_size is None or listing.total_size == shown:
        return "1 task" if shown == 1 else f"{shown} tasks"
    return f"{shown} of {listing.total_size} tasks"
