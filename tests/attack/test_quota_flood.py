"""One caller queues 1,500 calls for a quota of 10 per second; another makes one at a time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.calls import CallContext
from taskgate_server.config import AwsSettings
from taskgate_server.upstream.options import CallOptions
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import REGION, running_server, settings_for

pytestmark = pytest.mark.timed

QUOTA = 10.0
FLOOD_CALLS = 1500
CALLS = 100
SECONDS = 5.0
MEDIAN_SECONDS = 0.5
P99_SECONDS = 1.0
FLOOD = """
import asyncio, sys, time, grpc
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
address, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
metadata = (("authorization", "Bearer " + token),)
async def main():
    refused = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = omics_pb2_grpc.OmicsServiceStub(channel)
        async def one(number):
            request = omics_pb2.GetRunRequest(id=str(number))
            began = time.monotonic()
            try:
                await stub.GetRun(request, metadata=metadata, timeout=600)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    refused.append(time.monotonic() - began)
        calls = [asyncio.create_task(one(5_000_000 + n)) for n in range(count)]
        while sum(not call.done() for call in calls) > 1000:  # as many as may wait
            await asyncio.sleep(0.05)
        print(len(refused), max(refused), flush=True)
        await asyncio.gather(*calls)
asyncio.run(main())
"""


class FloodedServer:
    """A server with a flood, and another caller."""

    def __init__(self, channel: grpc.Channel, token: str, flood: str) -> None:
        self._stub: Any = omics_pb2_grpc.OmicsServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)
        refused, longest = flood.split()
        self.refused = int(refused)
        self.max_refusal = float(longest)

    def seconds(self) -> float:
        """Return how long one call takes; inf if it is refused."""
        began = time.perf_counter()
        request = omics_pb2.GetRunRequest(id=seed.RUN_ID)
        try:
            self._stub.GetRun(request, metadata=self._metadata, timeout=SECONDS)
        except grpc.RpcError:
            return float("inf")
        return time.perf_counter() - began


@contextmanager
def flooded() -> Iterator[FloodedServer]:
    issuer = Issuer()
    with Emulator(quotas={"omics": {"GetRun": QUOTA}}) as aws, issuer.serving() as keys:
        omics = AwsSettings(
            region=REGION, endpoint_url=aws.endpoint_url, request_rates={"GetRun": QUOTA}
        )
        settings = settings_for(
            aws.endpoint_url,
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            jwt_keys=keys,
            aws={"deadline": omics, "omics": omics},
            caller_calls_per_second=10_000,
            caller_concurrent_calls=10_000,
        )
        with (
            running_server(settings) as address,
            grpc.insecure_channel(str(address)) as channel,
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    FLOOD,
                    str(address),
                    issuer.sign("mallory"),
                    str(FLOOD_CALLS),
                ],
                stdout=subprocess.PIPE,
                text=True,
            ) as flood,
        ):
            assert flood.stdout is not None
            yield FloodedServer(channel, issuer.sign("alice"), flood.stdout.readline())
            flood.kill()


def test_call_of_another_caller_is_sent_second_next() -> None:
    with flooded() as place:
        took = sorted(place.seconds() for _ in range(CALLS))
    assert statistics.median(took) < MEDIAN_SECONDS, took
    assert took[int(CALLS * 0.99) - 1] < P99_SECONDS, took
    # Half of the places for waiting calls are left to others. What is refused is refused at once.
    assert place.refused > 400
    assert place.max_refusal < 10, "the time in which a busy machine takes 1,500 RPCs"


def test_without_fairness_the_flood_delays_other_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    of = CallOptions.of

    def of_one_requester(call: CallContext, *, max_age: float | None = None) -> CallOptions:
        return replace(of(call, max_age=max_age), requester="")

    monkeypatch.setattr(CallOptions, "of", of_one_requester)
    with flooded() as place:
        took = [place.seconds() for _ in range(5)]
    assert statistics.median(took) > P99_SECONDS
