"""Calls a server from inside the network that it is in. Each line that it prints is JSON.

A process of its own, since one that has threads cannot go into another network namespace.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_client import connect
from taskgate_client.connection import channel_options
from taskgate_client.security import Tls
from tests.support.demo_names import CANCELED, FAILED, JOB

ADDRESS, HEALTH_ADDRESS = "127.0.0.1:50051", "127.0.0.1:50052"
RUN_TASK = "omics/runs/4721906/tasks/6657063"
SERVING = health_pb2.HealthCheckResponse.SERVING
SECONDS = 10.0
EVERY_SECONDS = 0.02
SOON = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20))


def report(**facts: object) -> None:
    """Prints a line at once."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def wait_until_ready(seconds: float) -> None:
    """Report the moment from which the health port says SERVING, as a probe sees it."""
    with grpc.insecure_channel(HEALTH_ADDRESS, SOON) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        report(waits=True)
        end = time.time() + seconds
        while time.time() < end:
            try:
                if health.Check(request, timeout=1).status == SERVING:
                    report(ready=time.time())
                    return
            except grpc.RpcError:
                pass  # it does not listen yet
            time.sleep(EVERY_SECONDS)


def call(folder: Path) -> None:
    """Calls with the Python client: one task, a list, a log, AWS's own operation."""
    with connect(ADDRESS, tls=_tls(folder)) as client:
        report(deadline=client.get_task(CANCELED).native_state)
        report(omics=client.get_task(RUN_TASK).native_state)
        report(listed=sum(1 for _ in client.list_tasks(JOB)))
        report(log=[line.message for line in client.stream_task_logs(FAILED)])


def watch(folder: Path) -> None:
    """Report when a watch has its snapshot, and why the server ended it."""
    tls = _tls(folder)
    request = task_watch_pb2.WatchTasksRequest(parent=JOB)
    request.heartbeat_interval.FromTimedelta(timedelta(seconds=SECONDS))
    options = channel_options(tls, balance=False)
    with grpc.secure_channel(ADDRESS, tls.credentials(), options) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        for answer in stub.WatchTasks(request, timeout=60):
            match answer.WhichOneof("event"):
                case "snapshot_end":
                    report(tasks=answer.snapshot_end.task_count)
                case "watch_end":
                    report(end=task_watch_pb2.WatchEndReason.Name(answer.watch_end.reason))


def upload(address: str) -> None:
    """Report the error for a part of some kilobytes."""
    part = omics_pb2.UploadReadSetPartRequest(
        sequence_store_id="1234567890",
        upload_id="1234567890",
        part_source=omics_pb2.READ_SET_PART_SOURCE_SOURCE1,
        part_number=1,
    )
    payload = omics_pb2.UploadReadSetPartRequest(payload=bytes(10_000))
    with grpc.insecure_channel(address) as channel:
        stub: Any = omics_pb2_grpc.OmicsServiceStub(channel)
        try:
            stub.UploadReadSetPart(iter([part, payload]), timeout=SECONDS)
        except grpc.RpcError as error:
            report(says=error.details())


def _tls(folder: Path) -> Tls:
    return Tls(ca=folder / "ca.crt", certificate=folder / "tls.crt", key=folder / "tls.key")


if __name__ == "__main__":
    verb, given = sys.argv[1:]
    match verb:
        case "ready":
            wait_until_ready(float(given))
        case "call":
            call(Path(given))
        case "watch":
            watch(Path(given))
        case "upload":
            upload(given)
