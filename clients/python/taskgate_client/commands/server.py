"""`taskgate info` and `health`."""

from __future__ import annotations

import sys
from argparse import Namespace

from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.command import Screen, as_json, command, write_json
from taskgate_client.commands.exits import Exit
from taskgate_client.errors import CallError


@command
def info(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Shows what a server serves."""
    told = client.get_server_info(time_limit=options.time_limit)
    if options.json:
        write_json(as_json(told))
    else:
        screen.out.print(render.server_info(told))
    return Exit.OK


@command
def health(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Tells whether a server is serving, for probes: whatever is wrong is the same failure."""
    try:
        serving = client.is_serving(options.service, time_limit=options.time_limit)
    except CallError as error:
        screen.tell(error)
        return Exit.FAILURE
    word = "SERVING" if serving else "NOT_SERVING"
    if options.json:
        write_json({"status": word})
    else:
        sys.stdout.write(f"{word}\n")
    return Exit.OK if serving else Exit.FAILURE
