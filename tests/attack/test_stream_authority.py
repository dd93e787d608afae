"""Authority that outlives its credential: streams end with the token and with the permission."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from taskgate.v1 import task_log_pb2, task_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from tests.attack.site import POLICY, Site, running_site
from tests.watch.place import JOB, RUNNING

SETTINGS = {"jwt_leeway_seconds": "0", "stream_expiry_grace_seconds": "1"}
LIFE = 2
"""Seconds that a token is valid."""


def open_stream(stub: Any, kind: str, metadata: Any, seconds: float) -> Any:
    """Begin a long call of a kind."""
    if kind == "watch":
        request = task_watch_pb2.WatchTasksRequest(parent=JOB)
        return stub.WatchTasks(request, metadata=metadata, timeout=seconds)
    if kind == "logs":
        log = task_log_pb2.StreamTaskLogsRequest(name=RUNNING, follow=True)
        return stub.StreamTaskLogs(log, metadata=metadata, timeout=seconds)
    never = [task_pb2.TASK_STATE_SUSPENDED]
    wait = task_watch_pb2.WaitTaskRequest(name=RUNNING, states=never)
    return stub.WaitTask.future(wait, metadata=metadata, timeout=seconds)


def end_of(stream: Any, kind: str) -> tuple[str, str]:
    """Return the code and reason that a stream ends with."""
    try:
        if kind == "wait":
            stream.result()
        else:
            for _ in stream:
                pass
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call, too
        info = error_details_pb2.ErrorInfo()
        if status is not None:
            status.details[0].Unpack(info)
        return error.code().name, info.reason
    return "OK", ""


def expired(site: Site, kind: str, seconds: float) -> tuple[str, str, float]:
    """Return how and when a stream ends whose token expires."""
    with site.channel() as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        began = time.time()
        metadata = site.token("alice", "all", exp=int(began) + LIFE + 1)
        stream = open_stream(stub, kind, metadata, seconds)
        code, reason = end_of(stream, kind)
        return code, reason, time.time() - began


@pytest.mark.parametrize("kind", ["watch", "logs", "wait"])
def test_a_long_call_ends_when_its_token_has_expired(
    aws: Emulator, tmp_path: Path, kind: str
) -> None:
    with running_site(aws, tmp_path, **SETTINGS) as site:
        code, reason, seconds = expired(site, kind, 15)
        assert (code, reason) == ("UNAVAILABLE", "STREAM_TOKEN_EXPIRED")
        assert LIFE < seconds < LIFE + 1 + 1 + 1.5


def test_without_the_defence_it_goes_on(aws: Emulator, tmp_path: Path) -> None:
    with running_site(aws, tmp_path, weakness="endless_authority", **SETTINGS) as site:
        assert expired(site, "watch", 6)[0] == "DEADLINE_EXCEEDED"


def revoked(site: Site, kind: str, seconds: float) -> tuple[str, str]:
    """Return how a stream ends whose permission is withdrawn."""
    with site.channel() as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        stream = open_stream(stub, kind, site.token("mallory", "all"), seconds)
        spared = open_stream(stub, "watch", site.token("alice", "readers"), 2 * seconds)
        if kind == "watch":
            next(stream)
        next(spared)
        site.policy.write_text(POLICY.replace('Group::"all"', 'Group::"former"'))
        ended = end_of(stream, kind)
        assert spared.is_active()
        spared.cancel()
        return ended


@pytest.mark.parametrize("kind", ["watch", "logs", "wait"])
def test_a_long_call_ends_when_the_policy_no_longer_allows_it(
    aws: Emulator, tmp_path: Path, kind: str
) -> None:
    with running_site(aws, tmp_path) as site:
        assert revoked(site, kind, 15) == ("PERMISSION_DENIED", "POLICY_DENIED")


def test_without_the_defence_the_permission_stays(aws: Emulator, tmp_path: Path) -> None:
    with running_site(aws, tmp_path, weakness="endless_authority") as site:
        assert revoked(site, "watch", 6)[0] == "DEADLINE_EXCEEDED"
