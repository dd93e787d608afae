"""Random and mutated requests and answers: no crash, no INTERNAL, nothing sent that is not right.

`make test` runs a bounded number; `FUZZ_REQUESTS`, `FUZZ_ANSWERS` and `VOLUME` raise it, and `SEED`
selects other cases. A seed and an index suffice to repeat a case.
"""

from __future__ import annotations

import gc

import pytest

from taskgate_emulator import Emulator
from tests.fuzz import answer_run, request_run, wire, wire_run
from tests.fuzz.findings import ANSWERS, ONE_IN_WIRE, REQUESTS, Findings
from tests.fuzz.inprocess import Bench
from tests.support.running_server import running_server, settings_for


def passes(findings: Findings) -> None:
    """Prints what came of it, and fails with every kind of failure."""
    report = findings.report()
    print(report)  # noqa: T201  # the counts, for `pytest -s` and `-rP`
    assert not findings.failures, report


def in_process(count: int) -> list[int]:
    return [index for index in range(count) if index % ONE_IN_WIRE]


def over_wire(count: int) -> list[int]:
    # Multiples of the one number would meet few of the operations.
    return [count + number for number in range(count // ONE_IN_WIRE)]


def test_mutated_requests(bench: Bench) -> None:
    passes(request_run.run(bench, in_process(REQUESTS)))


def test_mutated_requests_over_the_wire(bench: Bench, aws: Emulator, server_address: str) -> None:
    with wire.channel_to(server_address) as channel:
        run = wire_run.RequestsOverWire(bench, aws, channel)
        passes(run.run(over_wire(REQUESTS)))


def test_mutated_answers(bench: Bench) -> None:
    passes(answer_run.run(bench, in_process(ANSWERS)))


# What answers badly may leave botocore's exceptions in cycles, and with them urllib3's sockets.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_mutated_answers_over_the_wire(bench: Bench) -> None:
    with (
        wire.Upstream() as upstream,
        running_server(settings_for(upstream.endpoint_url)) as address,
        wire.channel_to(str(address)) as channel,
    ):
        findings = wire_run.run_answers(bench, upstream, channel, over_wire(ANSWERS))
    gc.collect()  # while the warning is ignored
    passes(findings)
