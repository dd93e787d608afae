"""Random and mutated requests and responses: no crash, no INTERNAL, no invalid request to AWS.

`make test` runs a limited number of cases; `FUZZ_REQUESTS`, `FUZZ_RESPONSES` and `VOLUME` increase
it, and `SEED` selects other cases. A seed and an index suffice to repeat a case.
"""

from __future__ import annotations

import gc

import pytest

from taskgate_emulator import Emulator
from tests.fuzz import request_run, response_run, wire, wire_run
from tests.fuzz.findings import ONE_IN_WIRE, REQUESTS, RESPONSES, Findings
from tests.fuzz.inprocess import InProcessServer
from tests.support.running_server import running_server, settings_for


def passes(findings: Findings) -> None:
    """Print the report and fail if there are failures."""
    report = findings.report()
    print(report)  # noqa: T201  # the counts, for `pytest -s` and `-rP`
    assert not findings.failures, report


def in_process(count: int) -> list[int]:
    return [index for index in range(count) if index % ONE_IN_WIRE]


def over_wire(count: int) -> list[int]:
    # Multiples of the one number would meet few of the operations.
    return [count + number for number in range(count // ONE_IN_WIRE)]


def test_mutated_requests(server: InProcessServer) -> None:
    passes(request_run.run(server, in_process(REQUESTS)))


def test_mutated_requests_over_the_wire(
    server: InProcessServer, aws: Emulator, server_address: str
) -> None:
    with wire.channel_to(server_address) as channel:
        run = wire_run.RequestsOverWire(server, aws, channel)
        passes(run.run(over_wire(REQUESTS)))


def test_mutated_responses(server: InProcessServer) -> None:
    passes(response_run.run(server, in_process(RESPONSES)))


# Invalid responses may leave botocore's exceptions, and with them urllib3's sockets, in cycles.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_mutated_responses_over_the_wire(server: InProcessServer) -> None:
    with (
        wire.Upstream() as upstream,
        running_server(settings_for(upstream.endpoint_url)) as address,
        wire.channel_to(str(address)) as channel,
    ):
        findings = wire_run.run_responses(server, upstream, channel, over_wire(RESPONSES))
    gc.collect()  # while the warning is ignored
    passes(findings)
