"""Servers that run in a thread of the test process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from taskgate_server import app
from taskgate_server.config import AwsSettings, Settings
from taskgate_server.ports import Address
from taskgate_server.shutdown import drain_grace_seconds

REGION = "us-west-2"


@contextmanager
def running_server(settings: Settings, log_stream: TextIO | None = None) -> Iterator[Address]:
    """Run a server in a thread with an event loop of its own; drain it at the end."""
    with running_app(settings, log_stream) as (_, address):
        yield address


@contextmanager
def running_app(
    settings: Settings, log_stream: TextIO | None = None
) -> Iterator[tuple[app.App, Address]]:
    """Run a server; yield the app, too."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="taskgate-server")
    thread.start()

    async def build() -> app.App:
        return app.build(settings, log_stream)

    def run(coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)  # type: ignore[arg-type]  # any

    built = run(build())
    assert isinstance(built, app.App)
    try:
        address = run(built.server.start())
        assert isinstance(address, Address)
        yield built, address
    finally:
        grace = drain_grace_seconds(settings)
        run(built.server.drain(settings.drain_seconds, grace_seconds=grace))
        run(built.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def settings_for(endpoint_url: str, **more: object) -> Settings:
    """Return settings of a server on an AWS at `endpoint_url` that tries each call once."""
    aws = AwsSettings(
        region=REGION,
        endpoint_url=endpoint_url,
        max_attempts=1,
        # Tests call more often than AWS's quotas allow, and make more calls fail.
        quotas="off",
        circuit_breaker=False,
    )
    values = {
        "listen_port": 0,
        "drain_seconds": 2,
        # Each call reaches the emulator; test_freshness.py tests sharing.
        "default_max_age_seconds": 0,
        "aws": {"deadline": aws, "omics": aws},
    }
    return Settings.model_validate({**values, **more})
