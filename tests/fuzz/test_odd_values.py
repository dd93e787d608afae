"""One odd value in any response of AWS: Taskgate reads all else that boto3 reads.

`ODD_RESPONSES` and `SEED` select more responses, or others; `make odd-values` runs many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import grpc
import pytest

from tests.fuzz import response_checks, response_run
from tests.fuzz.inprocess import InProcessServer, Target
from tests.fuzz.odd_values import OddResponse, odd_response, without
from tests.support.boto3_wire import REQUEST_ID, AwsResponse
from tests.support.contract import mirror
from tests.support.contract.exchange import differences
from tests.support.seeds import SEED, examples

RESPONSES = int(os.environ.get("ODD_RESPONSES") or examples(600))


REFUSED: dict[str, str] = {}
"""Reasons for which Taskgate may reject what boto3 reads, by location; there are none."""


@pytest.fixture(scope="module")
def server() -> Iterator[InProcessServer]:
    with InProcessServer() as server:
        yield server


def outcome(
    server: InProcessServer, oracle: response_run.Boto3Oracle, target: Target, odd: OddResponse
) -> str:
    """Return how boto3 and Taskgate read a response."""
    headers = {
        "Content-Type": "application/json",
        "x-amzn-RequestId": REQUEST_ID,
        "Content-Length": str(len(odd.body)),
    }
    aws_response = AwsResponse(body=odd.body, headers=list(headers.items()))
    oracle_result = oracle.call(target, aws_response)
    response = server.call(target, response_run.requests_for(target), aws_response)
    response_checks.check(response, server.log.bugs, server.log.leaks)
    is_read = not isinstance(oracle_result, Exception)
    if response.code is not grpc.StatusCode.OK:
        return (
            f"REFUSED: {response_checks.info_of(response).reason}" if is_read else "refused by both"
        )
    if not is_read:
        return "read, where boto3 refuses"
    shape: Any = target.model.output_shape
    actual = mirror.read(target.operation.response_class.FromString(response.responses[0]), shape)
    expected = without(response_run.known(oracle_result, shape), odd.path)
    found = differences(expected, without(actual, odd.path), "response")
    return f"DIFFERENT: {found[0][:200]}" if found else "alike"


def test_odd_value_does_not_affect_other_values(server: InProcessServer) -> None:
    random = Random(SEED)  # noqa: S311  # the same responses for the same seed
    targets = [each for each in server.targets if not each.method.server_streaming]
    oracle, counts, failures = response_run.Boto3Oracle(), Counter[str](), list[str]()
    made = 0
    while made < RESPONSES:
        for target in random.sample(targets, len(targets)):
            odd = odd_response(target.model, random)
            if odd is None:
                continue
            made += 1
            result = outcome(server, oracle, target, odd)
            counts[result.partition(":")[0]] += 1
            if result[:1].isupper():
                failures.append(f"{target} {odd.path} = {odd.value}: {result}")
    description = f"SEED={SEED}, {made} responses: {dict(counts)}"
    print(description)  # noqa: T201  # for `pytest -rP`
    assert not failures, "\n".join([description, *failures[:20]])
    assert counts["alike"] > made / 2
