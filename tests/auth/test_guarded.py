"""A server with authentication and a policy, called over the wire."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.rpc import status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_update_pb2, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server import app
from taskgate_server.config import PLAINTEXT_PHRASE, SettingsError
from taskgate_server.ports import Address
from tests.support.authority import LOOPBACK, Authority
from tests.support.call_errors import error_info
from tests.support.demo_names import FAILED, JOB, RUN, RUNNING, STEP
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import running_server, settings_for
from tests.support.seeds import examples

SECONDS = 10.0
DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
POLICY = f"""
permit (principal in Group::"render", action in Action::"read",
  resource in Deadline::Job::"{seed.JOB_ID}");
permit (principal in Group::"render", action == Action::"tasks/RetryTask",
  resource in Deadline::Queue::"{seed.QUEUE_ID}");
permit (principal in Group::"all", action in [Action::"read", Action::"write"], resource);
permit (principal is Anonymous, action == Action::"tasks/GetServerInfo", resource);
permit (principal == Certificate::"spiffe://studio.example/render", action in Action::"read",
  resource);
"""
IDS = {"farm_id": seed.FARM_ID, "queue_id": seed.QUEUE_ID}


@dataclass
class Gate:
    """A server, and calls of it as members of groups."""

    channel: grpc.Channel
    issuer: Issuer
    policy: Path
    aws: Emulator
    log: io.StringIO

    def __post_init__(self) -> None:
        self.tasks: Any = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self.deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(self.channel)

    def token(self, *groups: str, **claims: Any) -> list[tuple[str, str]]:
        """Return the metadata of alice, a member of the groups."""
        return [("authorization", f"Bearer {self.issuer.sign('alice', *groups, **claims)}")]

    def get(self, name: str, *groups: str) -> str:
        """Return the status code of GetTask for a member of the groups."""
        return code_of(
            lambda: self.tasks.GetTask(
                task_service_pb2.GetTaskRequest(name=name),
                metadata=self.token(*groups),
                timeout=SECONDS,
            )
        )


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    policy = tmp_path_factory.mktemp("policy") / "policy.cedar"
    policy.write_text(POLICY)
    issuer, log = Issuer(), io.StringIO()
    with (
        Emulator() as aws,  # tasks are retried here
        issuer.serving() as keys,
        running_server(
            settings_for(
                aws.endpoint_url,
                jwt_issuer=ISSUER,
                jwt_audience=AUDIENCE,
                jwt_keys=keys,
                policy_files=[policy],
                caller_streams=3,
            ),
            log,
        ) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield Gate(channel, issuer, policy, aws, log)


def test_policy_decides_who_may_read(gate: Gate) -> None:
    assert gate.get(RUNNING, "render") == "OK"
    assert gate.get(RUNNING, "lighting") == "PERMISSION_DENIED"
    assert gate.get(f"{RUN}/tasks/7654321", "render") == "PERMISSION_DENIED"


def test_permit_for_one_action_and_queue_permits_nothing_else(gate: Gate) -> None:
    def act(method: str) -> str:
        request = getattr(task_update_pb2, f"{method}Request")(name=FAILED)
        rpc = getattr(gate.tasks, method)
        return code_of(lambda: rpc(request, metadata=gate.token("render"), timeout=SECONDS))

    assert act("RetryTask") == "OK"
    assert act("SuspendTask") == "PERMISSION_DENIED"


def test_policy_applies_to_aws_rpcs(gate: Gate) -> None:
    def code(method: str, *groups: str, **ids: str) -> str:
        request = getattr(deadline_pb2, f"{method}Request")(**ids)
        rpc = getattr(gate.deadline, method)
        return code_of(lambda: rpc(request, metadata=gate.token(*groups), timeout=SECONDS))

    assert code("GetJob", "render", **IDS, job_id=seed.JOB_ID) == "OK"
    assert code("GetQueue", "render", **IDS) == "PERMISSION_DENIED"
    assert code("GetQueue", "all", **IDS) == "OK"
    assert code("DeleteQueue", "all", **IDS) == "PERMISSION_DENIED"
    assert code("AssumeQueueRoleForRead", "all", **IDS) == "PERMISSION_DENIED"


def test_policy_applies_to_streams(gate: Gate) -> None:
    def watch(name: str) -> str:
        request = task_watch_pb2.WatchTasksRequest(names=[name])
        metadata = gate.token("render")
        stream = gate.tasks.WatchTasks(request, metadata=metadata, timeout=SECONDS)
        code = code_of(lambda: next(stream))
        stream.cancel()
        return code

    assert watch(RUNNING) == "OK"
    assert watch(f"{RUN}/tasks/7654321") == "PERMISSION_DENIED"


def test_batch_items_are_authorized_separately(gate: Gate) -> None:
    foreign = f"{RUN}/tasks/7654321"
    names = [foreign, RUNNING, foreign, f"{STEP}/tasks/task-{'0' * 32}-0"]
    response = gate.tasks.BatchGetTasks(
        task_service_pb2.BatchGetTasksRequest(names=names),
        metadata=gate.token("render"),
        timeout=SECONDS,
    )
    assert [each.name for each in response.results] == names
    codes = [each.error.code for each in response.results]
    denied, missing = DENIED.value[0], grpc.StatusCode.NOT_FOUND.value[0]
    assert codes == [denied, 0, denied, missing]
    assert response.results[1].task.name == RUNNING


def test_batch_of_denied_items_has_only_errors(gate: Gate) -> None:
    updates = [task_update_pb2.TaskUpdate(name=RUNNING, action=task_update_pb2.TASK_ACTION_CANCEL)]
    response = gate.tasks.BatchUpdateTasks(
        task_update_pb2.BatchUpdateTasksRequest(updates=updates),
        metadata=gate.token("lighting"),
        timeout=SECONDS,
    )
    assert [each.error.code for each in response.results] == [DENIED.value[0]]


def test_anonymous_caller_gets_identity_missing(gate: Gate) -> None:
    assert gate.tasks.GetServerInfo(task_service_pb2.GetServerInfoRequest(), timeout=SECONDS)
    with pytest.raises(grpc.RpcError) as caught:
        gate.tasks.GetTask(task_service_pb2.GetTaskRequest(name=RUNNING), timeout=SECONDS)
    assert caught.value.code() is UNKNOWN
    assert error_info(caught.value).reason == "IDENTITY_MISSING"


def test_expired_token_is_refused_and_never_logged(gate: Gate) -> None:
    metadata = gate.token("render", exp=1)
    with pytest.raises(grpc.RpcError) as caught:
        gate.tasks.GetTask(
            task_service_pb2.GetTaskRequest(name=RUNNING), metadata=metadata, timeout=SECONDS
        )
    assert caught.value.code() is UNKNOWN
    assert error_info(caught.value).reason == "TOKEN_EXPIRED"
    signature = metadata[0][1].rpartition(".")[2]
    assert signature not in str(caught.value)
    assert signature not in gate.log.getvalue()


def test_policy_applies_to_reflection(gate: Gate) -> None:
    services = ProtoReflectionDescriptorDatabase(
        grpc.intercept_channel(gate.channel, _WithMetadata(gate.token("all")))
    ).get_services()
    assert "taskgate.v1.TaskService" in services
    assert (
        code_of(ProtoReflectionDescriptorDatabase(gate.channel).get_services) == "UNAUTHENTICATED"
    )


class _WithMetadata(grpc.StreamStreamClientInterceptor):
    def __init__(self, metadata: list[tuple[str, str]]) -> None:
        self._metadata = metadata

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), requests)


def test_streams_over_the_caller_limit_are_refused(gate: Gate) -> None:
    def watch(*groups: str) -> Any:
        request = task_watch_pb2.WatchTasksRequest(parent=JOB)
        return gate.tasks.WatchTasks(request, metadata=gate.token(*groups), timeout=SECONDS)

    streams = [watch("all") for _ in range(3)]
    assert [code_of(each.__next__) for each in streams] == ["OK"] * 3
    with pytest.raises(grpc.RpcError) as caught:
        next(watch("all"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(caught.value).metadata["limit"] == "streams"
    for each in streams:
        each.cancel()


ID = st.text("0123456789abcdef", min_size=32, max_size=32)


@dataclass(frozen=True)
class _Denial:
    """Everything that a caller sees of an error."""

    code: str
    message: str
    metadata: dict[str, str]


@settings(max_examples=examples(60))
@given(ids=st.tuples(ID, ID, ID, ID, ID), exists=st.booleans())
def test_denial_does_not_reveal_whether_a_resource_exists(
    gate: Gate, ids: tuple[str, str, str, str, str], exists: bool
) -> None:
    farm, queue, job, step, task = ids
    name = (
        RUNNING
        if exists
        else f"deadline/farms/farm-{farm}/queues/queue-{queue}/jobs/job-{job}"
        f"/steps/step-{step}/tasks/task-{task}-0"
    )
    with pytest.raises(grpc.RpcError) as caught:
        gate.tasks.GetTask(
            task_service_pb2.GetTaskRequest(name=name),
            metadata=gate.token("lighting"),
            timeout=SECONDS,
        )
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # it is a call, too
    assert isinstance(status, status_pb2.Status)
    info = error_info(caught.value)
    resource = name.replace("deadline/farms/", "deadline/")
    for collection in ("queues", "jobs", "steps", "tasks"):
        resource = resource.replace(f"/{collection}/", "/")
    denial = _Denial(caught.value.code().name, status.message, dict(info.metadata))
    assert denial == _Denial(
        "PERMISSION_DENIED",
        f"the policy of this server does not allow User alice to do tasks/GetTask on {resource}",
        {"caller": "User alice", "action": "tasks/GetTask", "resource": resource},
    )
    if not exists:
        assert not any(f"farm-{farm}" in str(each) for each in gate.aws.requests)


def test_changed_policy_is_reloaded_and_invalid_policy_is_rejected(gate: Gate) -> None:
    assert gate.get(RUNNING, "lighting") == "PERMISSION_DENIED"
    gate.policy.write_text(POLICY.replace('"render"', '"lighting"'))
    while gate.get(RUNNING, "lighting") != "OK":
        pass
    assert gate.get(RUNNING, "render") == "PERMISSION_DENIED"
    gate.policy.write_text("permit (all);")
    assert gate.get(RUNNING, "lighting") == "OK"
    gate.policy.write_text(POLICY)
    while gate.get(RUNNING, "render") != "OK":
        pass


def test_invalid_policy_prevents_the_start(aws: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "policy.cedar"
    file.write_text("permit (all);")
    with pytest.raises(SettingsError, match=r"policy\.cedar"):
        app.build(settings_for(aws.endpoint_url, policy_files=[file]))


def test_tokens_need_an_audience_and_keys(aws: Emulator) -> None:
    with pytest.raises(SettingsError, match="jwt_audience and jwt_keys"):
        app.build(settings_for(aws.endpoint_url, jwt_issuer=ISSUER))


def test_tls_without_authentication_prevents_the_start(aws: Emulator, tmp_path: Path) -> None:
    certificate, key = Authority().issue("server", *LOOPBACK).write(tmp_path)
    configured = settings_for(
        aws.endpoint_url,
        listen_host="::",
        tls_certificate_file=certificate,
        tls_key_file=key,
    )
    with pytest.raises(SettingsError, match="does not identify callers"):
        app.build(configured)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([x509.UniformResourceIdentifier("spiffe://studio.example/render")], "OK"),
        ([x509.DNSName("render.studio.example")], "PERMISSION_DENIED"),
        ([], "PERMISSION_DENIED"),
    ],
)
def test_client_certificate_authenticates_the_caller(
    aws: Emulator, tmp_path: Path, names: list[x509.GeneralName], code: str
) -> None:
    authority = Authority()
    certificate, key = authority.issue("server", *LOOPBACK).write(tmp_path)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "policy.cedar").write_text(POLICY)
    client = authority.issue("render", *names)
    with (
        running_server(
            settings_for(
                aws.endpoint_url,
                tls_certificate_file=certificate,
                tls_key_file=key,
                tls_client_ca_file=tmp_path / "ca.crt",
                policy_files=[tmp_path / "policy.cedar"],
            )
        ) as address,
        grpc.secure_channel(
            str(address),
            grpc.ssl_channel_credentials(authority.certificate, client.key, client.certificate),
        ) as channel,
    ):
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        request = task_service_pb2.GetTaskRequest(name=RUNNING)
        for _ in range(2):  # on the same connection
            assert code_of(lambda: stub.GetTask(request, timeout=SECONDS)) == code
        with pytest.raises(grpc.RpcError) as caught:
            stub.CancelTask(task_update_pb2.CancelTaskRequest(name=RUNNING), timeout=SECONDS)
    holder = names[0].value if names else "render"
    assert error_info(caught.value).metadata["caller"] == f"Certificate {holder}"


def test_the_log_of_calls_is_json(gate: Gate) -> None:
    gate.get(RUNNING, "render")
    for line in gate.log.getvalue().splitlines():
        json.loads(line)


def test_callers_without_identity_are_limited_by_address(aws: Emulator) -> None:
    configured = settings_for(
        aws.endpoint_url,
        listen_host="0.0.0.0",  # noqa: S104  # a server that other machines can reach
        plaintext_to_everyone=PLAINTEXT_PHRASE,
        caller_calls_per_second=0.01,
    )

    def get(address: Address) -> str:
        """Return the status code of a call on a new connection, from another port."""
        own = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(f"127.0.0.1:{address.port}", options=own) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            request = task_service_pb2.GetTaskRequest(name=RUNNING)
            return code_of(lambda: stub.GetTask(request, timeout=SECONDS))

    with running_server(configured) as address:
        assert [get(address), get(address)] == ["OK", "RESOURCE_EXHAUSTED"]
