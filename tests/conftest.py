"""A whole Taskgate on loopback for every test that wants one: emulator, server, channel.

Registers hypothesis' profile as well: see `tests/support/seeds.py`.
"""

from __future__ import annotations

import asyncio
import io
import signal
import threading
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TextIO

import grpc
import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import settings as hypothesis_settings

from taskgate_client import Client, connect
from taskgate_emulator import Emulator
from taskgate_server import app
from taskgate_server.config import AwsSettings, Settings
from taskgate_server.ports import Address
from taskgate_server.shutdown import drain_grace_seconds
from tests.emulator.model_checks import every_response_satisfies_the_model
from tests.support.seeds import IS_RANDOM_RUN, SEED, replay_hint

__all__ = ["every_response_satisfies_the_model"]
"""Fixtures from elsewhere: the check holds in all tests."""

REGION = "us-west-2"

# Examples neither depend on the clock nor on what an earlier run has stored. No deadline: how long
# an example takes depends on the machine's load.
hypothesis_settings.register_profile(
    "taskgate", derandomize=not IS_RANDOM_RUN, database=None, deadline=None, print_blob=True
)
hypothesis_settings.load_profile("taskgate")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Seed hypothesis with `SEED`, before its plugin reads the option."""
    if IS_RANDOM_RUN and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> str:
    """Return the seed for the head of the report."""
    return replay_hint()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed to the report of each failure."""
    report = yield
    if report.failed:
        report.sections.append(("seed", replay_hint()))
    return report


@pytest.fixture(scope="session", autouse=True)
def aws_environment() -> Iterator[None]:
    """No test finds the machine's own credentials, or asks the network for some."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "example")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environment.setenv("AWS_CONFIG_FILE", "/nonexistent")
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def models_are_read_once() -> Iterator[None]:
    """Each server has an AWS SDK of its own, which would parse the same megabytes again."""
    with pytest.MonkeyPatch.context() as patch:
        loader = JSONFileLoader()
        patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(loader.load_file)))
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """A shell has what it starts in the background ignore Ctrl-C; tests send it to processes."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def running_server(settings: Settings, log_stream: TextIO | None = None) -> Iterator[Address]:
    """A server in a thread with a loop of its own, drained at the end."""
    with running_app(settings, log_stream) as (_, address):
        yield address


@contextmanager
def running_app(
    settings: Settings, log_stream: TextIO | None = None
) -> Iterator[tuple[app.App, Address]]:
    """The same, with the app."""
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
    """Settings of a server whose AWS is at `endpoint_url`, and that tries each call once."""
    aws = AwsSettings(
        region=REGION,
        endpoint_url=endpoint_url,
        max_attempts=1,
        # Tests ask more often than AWS would let them, and make more calls fail.
        quotas="off",
        circuit_breaker=False,
    )
    values = {
        "listen_port": 0,
        "drain_seconds": 2,
        # Each call is to reach the emulator; test_freshness.py has the sharing.
        "default_max_age_seconds": 0,
        "aws": {"deadline": aws, "omics": aws},
    }
    return Settings.model_validate({**values, **more})


@pytest.fixture(scope="session")
def aws() -> Iterator[Emulator]:
    """A local AWS with the demo."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def server_address(aws: Emulator) -> Iterator[str]:
    """Where a server listens whose AWS is `aws`. No test with it may meet a bug of ours."""
    log = io.StringIO()
    with running_server(settings_for(aws.endpoint_url), log) as address:
        yield str(address)
    assert [line for line in log.getvalue().splitlines() if '"places"' in line] == []


@pytest.fixture(scope="session")
def channel(server_address: str) -> Iterator[grpc.Channel]:
    """A channel to the server."""
    with grpc.insecure_channel(server_address) as channel:
        yield channel


@pytest.fixture(scope="session")
def client(server_address: str) -> Iterator[Client]:
    """A client of the server."""
    with connect(server_address) as client:
        yield client


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """CloudWatch Logs, SQS and EventBridge, by moto."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # it takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def neighbours(moto_server: str) -> str:
    """Where they are; nothing is in them."""
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")  # noqa: S310  # our own
    urllib.request.urlopen(reset).close()  # noqa: S310  # our own
    return moto_server
