"""One odd value in any response of AWS: what boto3 reads, Taskgate reads, but for that value.

`ODD_RESPONSES` and `SEED` ask for more responses, or for others; `make odd-values` has many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import grpc
import pytest

from tests.fuzz import answer_run, replies
from tests.fuzz.inprocess import REQUEST_ID, AwsResponse, Bench, Target
from tests.fuzz.odd_values import OddResponse, odd_response, without
from tests.support.contract import mirror
from tests.support.contract.exchange import differences
from tests.support.seeds import SEED

RESPONSES = int(os.environ.get("ODD_RESPONSES", "600"))


REFUSED: dict[str, str] = {}
"""Reasons for which Taskgate may refuse what boto3 reads, by where; there are none."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


def outcome(bench: Bench, judge: answer_run.Judge, target: Target, odd: OddResponse) -> str:
    """How boto3 and Taskgate read a response."""
    headers = {
        "Content-Type": "application/json",
        "x-amzn-RequestId": REQUEST_ID,
        "Content-Length": str(len(odd.body)),
    }
    answer = AwsResponse(body=odd.body, headers=list(headers.items()))
    judged = judge.ask(target, answer)
    reply = bench.ask(target, answer_run.requests_of(target), answer)
    replies.check(reply, bench.log.bugs, bench.log.leaks)
    is_read = not isinstance(judged, Exception)
    if reply.code is not grpc.StatusCode.OK:
        return f"REFUSED: {replies.info_of(reply).reason}" if is_read else "refused by both"
    if not is_read:
        return "read, where boto3 refuses"
    shape: Any = target.model.output_shape
    ours = mirror.read(target.operation.response_class.FromString(reply.responses[0]), shape)
    expected = without(answer_run.known(judged, shape), odd.path)
    found = differences(expected, without(ours, odd.path), "response")
    return f"DIFFERENT: {found[0][:200]}" if found else "alike"


def test_one_odd_value_takes_nothing_else_with_it(bench: Bench) -> None:
    random = Random(SEED)  # noqa: S311  # the same responses for the same seed
    targets = [each for each in bench.targets if not each.method.server_streaming]
    judge, counts, failures = answer_run.Judge(), Counter[str](), list[str]()
    made = 0
    while made < RESPONSES:
        for target in random.sample(targets, len(targets)):
            odd = odd_response(target.model, random)
            if odd is None:
                continue
            made += 1
            came = outcome(bench, judge, target, odd)
            counts[came.partition(":")[0]] += 1
            if came[:1].isupper():
                failures.append(f"{target} {odd.path} = {odd.value}: {came}")
    told = f"SEED={SEED}, {made} responses: {dict(counts)}"
    print(told)  # noqa: T201  # for `pytest -rP`
    assert not failures, "\n".join([told, *failures[:20]])
    assert counts["alike"] > made / 2
