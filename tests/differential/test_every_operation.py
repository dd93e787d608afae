"""Every operation, with boto3 and over gRPC: the same request is sent, the same result returned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate_server.aws import model
from tests.support.contract.exchange import EVERY, Exchange
from tests.support.contract.synthesis import BARE, FULL, MINIMAL, RANDOM, Synthesizer, Variant

FURTHER = 40
"""More variants than any operation needs to use all its enum values."""


def variants(params: Synthesizer, responses: Synthesizer) -> Iterator[Variant]:
    """Yield fixed variants, then full ones until every enum value and union member is used."""
    yield from (FULL, MINIMAL, BARE, *RANDOM)
    for seed in range(100, 100 + FURTHER):
        if params.everything_used and responses.everything_used:
            return
        yield Variant(seed=seed, members="all")
    raise AssertionError("there are words or members that never have their turn")


@pytest.mark.parametrize("operation", EVERY)
def test_grpc_sends_and_returns_what_boto3_does(
    operation: model.OperationModel, exchange: Exchange
) -> None:
    synthesizers = Synthesizer(wire=False), Synthesizer(wire=True)
    faults = [
        f"{variant}: {fault}"
        for variant in variants(*synthesizers)
        for fault in exchange.compare(operation, synthesizers, variant)
    ]
    assert not faults, "\n".join(faults[:10])
