"""Streams end when their caller's token expires or the policy no longer permits them."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from taskgate.v1 import task_log_pb2, task_pb2, task_service_pb2_grpc, task_watch_pb2
from tests.attack.conftest import Sites
from tests.support.demo_names import JOB, RUNNING
from tests.support.guarded_process import POLICY, SECONDS, GuardedServer

pytestmark = pytest.mark.timed

SETTINGS = {"jwt_leeway_seconds": "0", "stream_expiry_grace_seconds": "1"}
KINDS = ("watch", "logs", "wait")
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


def expired(site: GuardedServer, kind: str, seconds: float) -> tuple[str, str, float]:
    """Return how and when a stream ends whose token expires."""
    with site.channel() as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        began = time.time()
        metadata = site.token("alice", "all", exp=int(began) + LIFE + 1)
        stream = open_stream(stub, kind, metadata, seconds)
        code, reason = end_of(stream, kind)
        return code, reason, time.time() - began


def permitted(site: GuardedServer) -> None:
    """Restore the policy, and wait until it is in force."""
    site.policy.write_text(POLICY)
    until = time.monotonic() + SECONDS
    while site.get(site.token("mallory", "all")) != "OK":
        assert time.monotonic() < until


def revoked(
    site: GuardedServer, kinds: tuple[str, ...], seconds: float
) -> dict[str, tuple[str, str]]:
    """Return how streams of some kinds end whose permission is withdrawn."""
    permitted(site)
    with site.channel() as channel, ThreadPoolExecutor(len(kinds)) as threads:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        streams = {
            kind: open_stream(stub, kind, site.token("mallory", "all"), seconds) for kind in kinds
        }
        spared = open_stream(stub, "watch", site.token("alice", "readers"), 2 * seconds)
        next(streams["watch"])
        next(spared)
        site.policy.write_text(POLICY.replace('Group::"all"', 'Group::"former"'))
        ends = dict(zip(kinds, threads.map(end_of, streams.values(), kinds), strict=True))
        assert spared.is_active()
        spared.cancel()
        return ends


def test_long_calls_end_when_their_token_has_expired(sites: Sites) -> None:
    site = sites(**SETTINGS)
    with ThreadPoolExecutor(len(KINDS)) as threads:
        ends = dict(
            zip(KINDS, threads.map(lambda kind: expired(site, kind, 30), KINDS), strict=True)
        )
    outcomes = {kind: end[:2] for kind, end in ends.items()}
    assert outcomes == dict.fromkeys(KINDS, ("UNAVAILABLE", "STREAM_TOKEN_EXPIRED"))
    # One second of grace, one because expiry is in whole seconds, and what a busy machine takes.
    assert all(LIFE < seconds < LIFE + 1 + 1 + 5 for _, _, seconds in ends.values()), ends


def test_long_calls_end_when_the_policy_no_longer_allows_them(sites: Sites) -> None:
    ends = revoked(sites(**SETTINGS), KINDS, 30)
    assert ends == dict.fromkeys(KINDS, ("PERMISSION_DENIED", "POLICY_DENIED"))


def test_without_the_defence_long_calls_continue(sites: Sites) -> None:
    site = sites(weakness="endless_authority", **SETTINGS)
    with ThreadPoolExecutor(1) as threads:
        expiring: Future[Any] = threads.submit(expired, site, "watch", 6)
        assert revoked(site, ("watch",), 6)["watch"][0] == "DEADLINE_EXCEEDED"
        assert expiring.result()[0] == "DEADLINE_EXCEEDED"
