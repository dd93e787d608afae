"""Connections that have grown old: their callers come back on another one, and miss nothing."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_client import connect
from taskgate_emulator import Emulator, ManualClock
from taskgate_server.services.deadline import tasks as deadline
from tests.support.background_callers import Caller, Watcher
from tests.support.polling import wait_until
from tests.support.running_server import running_server, settings_for

pytestmark = pytest.mark.timed

# The grace is long, so that no call on a busy machine takes as long.
AGE = {"max_connection_age_seconds": 0.5, "max_connection_age_grace_seconds": 1.5}
BREAKS = 2


def test_aged_connections_fail_no_call_and_lose_no_change() -> None:
    with ExitStack() as stack:
        aws = stack.enter_context(Emulator(clock=ManualClock()))
        settings = settings_for(aws.endpoint_url, **AGE)
        address = str(stack.enter_context(running_server(settings)))
        job = aws.jobs.add(steps=(100,), status="READY")
        names = [deadline.NAMES.format(job.task(number)) for number in range(100)]
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        channel = stack.enter_context(grpc.insecure_channel(address, options=options))
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        request = task_service_pb2.GetTaskRequest(name=names[0])
        caller = stack.enter_context(Caller("read", lambda: stub.GetTask(request, timeout=10)))
        client = stack.enter_context(connect(address))
        parent = names[0].rpartition("/steps/")[0]
        watcher = stack.enter_context(Watcher(client, parent))
        changes = []
        for number, name in enumerate(names):
            aws.jobs.move(job.task(number), "RUNNING")
            changes.append((name, "RUNNING"))
            time.sleep(0.1)
            if len(watcher.breaks) >= BREAKS and number > 20:
                break
        wait_until(lambda: not watcher.lacks(changes))
    assert len(watcher.breaks) >= BREAKS
    assert watcher.error is None
    # A server that is still there goes on where the watch was, without telling all anew.
    assert watcher.snapshots == 1
    assert caller.failures == []
    assert caller.calls > 50
