"""Peer (g): tuned aiobotocore in some coroutines on uvloop, no server.

Tuned as Taskgate tunes boto3: no validation of parameters, a constant user agent, timestamps read
by `datetime.fromisoformat`. Prints what `load.c` prints.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import uvloop
from aiobotocore.config import AioConfig  # type: ignore[import-not-found]  # only in its own environment
from aiobotocore.session import get_session  # type: ignore[import-not-found]  # the same

from benchmarks import workload
from benchmarks.peers import calling, upstream


async def call(given: calling.Arguments) -> None:
    """Call until the end, and print the report."""
    session = get_session()
    session.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=datetime.fromisoformat
    )
    config = AioConfig(
        **upstream.options(given.callers),
        parameter_validation=False,
        tcp_keepalive=True,
        user_agent="benchmark",
    )
    async with session.create_client(
        "deadline", endpoint_url=given.upstream, config=config, **upstream.CREDENTIALS
    ) as client:
        await client.get_task(**workload.task_params(0))  # the first one loads the endpoint rules
        calls = calling.Calls(given)

        async def work() -> None:
            for params in calls.until_end():
                await client.get_task(**params)

        await asyncio.gather(*(work() for _ in range(given.callers)))
    calls.print_report()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(call(calling.arguments(__doc__)))
