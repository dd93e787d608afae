"""Every operation, asked with boto3 and over gRPC: the same must go out, the same come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate_server.aws import model
from tests.support.contract.exchange import EVERY, Exchange
from tests.support.contract.synthesis import BARE, FULL, MINIMAL, RANDOM, Synthesizer, Variant

FURTHER = 40
"""More variants than any operation needs until all its enum words have had their turn."""


def variants(params: Synthesizer, answers: Synthesizer) -> Iterator[Variant]:
    """Fixed ones, then full ones until every enum word and union member has been used."""
    yield from (FULL, MINIMAL, BARE, *RANDOM)
    for seed in range(100, 100 + FURTHER):
        if params.everything_seen and answers.everything_seen:
            return
        yield Variant(seed=seed, members="all")
    raise AssertionError("there are words or members that never have their turn")


@pytest.mark.parametrize("operation", EVERY)
def test_grpc_sends_and_answers_what_boto3_does(
    operation: model.OperationModel, exchange: Exchange
) -> None:
    synthesizers = Synthesizer(wire=False), Synthesizer(wire=True)
    faults = [
        f"{variant}: {fault}"
        for variant in variants(*synthesizers)
        for fault in exchange.compare(operation, synthesizers, variant)
    ]
    assert not faults, "\n".join(faults[:10])
