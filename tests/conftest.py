"""Fixtures for all tests: an emulator, a server in a thread, a channel and a client.

The hooks for random choices are in `tests/support/random_choices.py`.
"""

from __future__ import annotations

import io
import signal
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cache
from pathlib import Path

import grpc
import pytest
from botocore.loaders import JSONFileLoader

from taskgate_client import Client, connect
from taskgate_emulator import Emulator
from taskgate_server.auth.child_process import run_module
from taskgate_server.telemetry.logs import BUGS
from tests.support.model_check import every_response_satisfies_the_model
from tests.support.random_choices import (
    pytest_configure,
    pytest_report_header,
    pytest_runtest_makereport,
)
from tests.support.running_server import running_server, settings_for
from tests.support.seeds import IS_LARGE_VOLUME

__all__ = [
    "every_response_satisfies_the_model",
    "pytest_configure",
    "pytest_report_header",
    "pytest_runtest_makereport",
]
"""Fixtures and hooks from elsewhere, for all tests."""


TESTS = Path(__file__).parent
UNMEASURED = (
    "attack",
    "benchmarks",
    "differential",
    "emulator",
    "fuzz",
    "skew",
    "tasks/test_large_responses.py",
    "tasks/watch/test_costs.py",
    "tasks/watch/test_memory.py",
    "tasks/watch/test_random.py",
    "tasks/watch/test_watch_at_random.py",
    "upstream/rate_limit/test_latency.py",
    "upstream/rate_limit/test_quota_fairness.py",
    "upstream/test_freshness_at_random.py",
)
SLOW_MARKERS = ("chart", "cluster", "image")
SLOW_TIMEOUT_SECONDS = 3600
TIMING_MARKERS = ("alone", "console", "image", "timed")
TIMING_RERUNS = 2
"""How often a test that measures time runs again if it fails: another program on the machine can
delay anything. Reported as `R`. No other test runs twice."""


@cache  # there are 30 tests in a file on average
def is_unmeasured(path: Path) -> bool:
    """Return whether the tests in a file run without the tracer of coverage."""
    return any(path.is_relative_to(TESTS / each) for each in UNMEASURED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow more time to tests that build or install something, and to larger volumes.

    Tests that spend their time on generated cases run without the tracer of coverage, which
    would slow them down and find little that the other tests do not reach.
    """
    for item in items:
        if any(map(item.get_closest_marker, TIMING_MARKERS)):
            item.add_marker(pytest.mark.flaky(reruns=TIMING_RERUNS))
        if is_unmeasured(item.path):
            item.add_marker(pytest.mark.no_cover)
        if item.get_closest_marker("timeout") is not None:
            continue
        if IS_LARGE_VOLUME or any(map(item.get_closest_marker, SLOW_MARKERS)):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def aws_environment() -> Iterator[None]:
    """Hide the machine's own AWS credentials, and the network's."""
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
    """Parse each of the SDK's models once, although each server has an SDK of its own."""
    with pytest.MonkeyPatch.context() as patch:
        loader = JSONFileLoader()
        patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(loader.load_file)))
        yield


@pytest.fixture(scope="session", autouse=True)
def policies_are_compiled_once() -> Iterator[None]:
    """Start one process for each different policy, although each server compiles its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskgate_server.auth.policy.run_module", cache(run_module))
        yield


@pytest.fixture(scope="session", autouse=True)
def emulators_are_not_traced() -> Iterator[None]:
    """Run emulators without the tracer of coverage, which would double their CPU time."""
    run = Emulator._run

    def run_untraced(emulator: Emulator, ready: Future[str]) -> None:
        sys.settrace(None)
        run(emulator, ready)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Emulator, "_run", run_untraced)
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_enabled() -> None:
    """Handle SIGINT, which a shell disables for background jobs; tests send it to processes."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_bug_is_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail if a server of this process has logged an unexpected error during the test.

    Tests that cause one have the marker `bug`.
    """
    before = BUGS.copy()
    yield
    if request.node.get_closest_marker("bug") is None:
        assert before == BUGS


@pytest.fixture(scope="session")
def aws() -> Iterator[Emulator]:
    """Yield an emulator with the demo data."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def server_address(aws: Emulator) -> Iterator[str]:
    """Yield the address of a server on `aws`."""
    with running_server(settings_for(aws.endpoint_url), io.StringIO()) as address:
        yield str(address)


@pytest.fixture(scope="session")
def channel(server_address: str) -> Iterator[grpc.Channel]:
    """Yield a channel to the server."""
    with grpc.insecure_channel(server_address) as channel:
        yield channel


@pytest.fixture(scope="session")
def client(server_address: str) -> Iterator[Client]:
    """Yield a client of the server."""
    with connect(server_address) as client:
        yield client


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Yield the URL of CloudWatch Logs, SQS and EventBridge, by moto."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # it takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def neighbours(moto_server: str) -> str:
    """Return the URL of moto's services, which are empty."""
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")  # noqa: S310  # our own
    urllib.request.urlopen(reset).close()  # noqa: S310  # our own
    return moto_server
