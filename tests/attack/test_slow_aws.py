"""With a slow AWS without quotas, a flood does not take the connections of other callers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.calls import CallContext
from taskgate_server.config import AwsSettings
from taskgate_server.upstream.options import CallOptions
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import REGION, running_server, settings_for

pytestmark = pytest.mark.timed

LATENCY = 0.5
CONNECTIONS = 4
FLOOD_CALLS = 200
WARM_UP_CALLS = 8
"""Of the flood, that end before the measurement: by then the others have reached the server."""
SECONDS = 8.0
IDS = {"farm_id": seed.FARM_ID, "queue_id": seed.QUEUE_ID}
FLOOD: Mapping[str, Mapping[str, str]] = {
    "ListJobs": {},
    "ListSteps": {"job_id": seed.JOB_ID},
    "ListSessions": {"job_id": seed.JOB_ID},
    "ListTasks": {"job_id": seed.JOB_ID, "step_id": seed.RENDER_STEP_ID},
}


def metadata(issuer: Issuer, subject: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {issuer.sign(subject)}"),)


def seconds_beside_a_flood() -> float:
    """Return how long a call of one caller takes while another one has hundreds in flight."""
    issuer = Issuer()
    with Emulator() as aws, issuer.serving() as keys:
        aws.faults.add(kind="latency", service="deadline", seconds=LATENCY)
        deadline = AwsSettings(
            region=REGION, endpoint_url=aws.endpoint_url, max_concurrent_calls=CONNECTIONS
        )
        settings = settings_for(
            aws.endpoint_url,
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            jwt_keys=keys,
            aws={"deadline": deadline, "omics": deadline},
        )
        with (
            running_server(settings) as address,
            grpc.insecure_channel(str(address)) as channel,
        ):
            stub: Any = deadline_pb2_grpc.DeadlineServiceStub(channel)
            flood = [
                getattr(stub, operation).future(
                    getattr(deadline_pb2, f"{operation}Request")(**IDS, **ids, max_results=size),
                    metadata=metadata(issuer, "mallory"),
                    timeout=60,
                )
                for size in range(1, FLOOD_CALLS // len(FLOOD) + 1)  # no two are the same call
                for operation, ids in FLOOD.items()
            ]
            as_completed(flood, WARM_UP_CALLS)
            began = time.perf_counter()
            stub.ListJobs(
                deadline_pb2.ListJobsRequest(**IDS, max_results=100),
                metadata=metadata(issuer, "alice"),
                timeout=SECONDS,
            )
            took = time.perf_counter() - began
            for call in flood:
                call.cancel()
            return took


def as_completed(calls: Sequence[Any], count: int) -> list[Any]:
    """Wait until so many calls have ended; return them."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for call in calls:
        call.add_done_callback(done.put)
    return [done.get(timeout=SECONDS) for _ in range(count)]


def test_call_of_another_caller_gets_the_second_next_connection() -> None:
    assert seconds_beside_a_flood() < 3 * LATENCY + 0.5


def test_without_fairness_the_flood_delays_other_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    of = CallOptions.of

    def of_one_requester(call: CallContext, *, max_age: float | None = None) -> CallOptions:
        return replace(of(call, max_age=max_age), requester="")

    monkeypatch.setattr(CallOptions, "of", of_one_requester)
    try:
        took = seconds_beside_a_flood()
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017  # or no error
    else:
        assert took > 10 * LATENCY


@contextmanager
def stalling() -> Iterator[tuple[str, threading.Event]]:
    """An AWS whose payloads begin and do not go on; an event that ends them."""
    end = threading.Event()

    class AwsResponse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            is_payload = self.path.startswith("/sequencestore")
            self.send_header("Content-Length", "1000" if is_payload else "2")
            self.end_headers()
            self.wfile.write(b"{}")
            if is_payload:
                self.wfile.flush()
                end.wait(SECONDS)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), AwsResponse)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", end
    finally:
        end.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_payloads_that_stall_do_not_stop_calls() -> None:
    with stalling() as (url, end):
        aws = AwsSettings(region=REGION, endpoint_url=url, max_concurrent_calls=1)
        settings = settings_for(url, aws={"deadline": aws, "omics": aws})
        with (
            running_server(settings) as address,
            grpc.insecure_channel(str(address)) as channel,
        ):
            stub: Any = omics_pb2_grpc.OmicsServiceStub(channel)
            read = omics_pb2.GetReadSetRequest(
                id="1234567890", sequence_store_id="1234567890", part_number=1
            )
            streams = [stub.GetReadSet(read, timeout=SECONDS) for _ in range(2)]
            for stream in streams:
                next(stream)  # the parameters; the server waits for the rest of the payload
            for _ in range(5):  # the first may come before the server waits
                stub.GetRun(omics_pb2.GetRunRequest(id="1234567"), timeout=5)
            for stream in streams:
                stream.cancel()
            end.set()
