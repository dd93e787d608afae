"""Attempts to reach a forbidden resource through other members of other requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate.v1 import task_service_pb2, task_update_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.auth import policy_child
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.authentication import Caller
from taskgate_server.auth.policy import Policy
from taskgate_server.auth.resources import Paths, compile_paths, policy_type
from taskgate_server.aws import model
from taskgate_server.rpc.handlers import load_contract
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from tests.attack.identified import Named, named_places, texts
from tests.support import batch_identifiers as batch
from tests.support.running_server import running_server, settings_for

MALLORY = Caller("User", "mallory")
EVERYTHING = """
permit (principal, action, resource);
permit (principal, action in [Action::"delete", Action::"credentials"], resource);
"""
FORBIDDEN, OTHER = "forbidden", "other"
ATTEMPTS = {"deadline": 400, "omics": 400}
"""The least number of places; services of plug-ins have fewer."""
SECONDS = 10.0

Compile = Callable[[str, type[Message]], Paths]


@pytest.fixture(scope="module", autouse=True)
def policies_are_compiled_here() -> Iterator[None]:
    """Compile the policies in this process: a child for each of a hundred takes half a minute."""

    def run_here(module: str, data: bytes, **_: float) -> bytes:
        assert module == policy_child.__name__
        return json.dumps(policy_child._outcome(json.loads(data))).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskgate_server.auth.policy.run_module", run_here)
        yield


@cache
def policy_without(kind: str, key: str) -> Policy:
    """A policy that permits everything but one resource and the resources in it."""
    forbid = f'forbid (principal, action, resource in {kind}::"{key}");'
    return Policy([("test", EVERYTHING + forbid)])


def is_allowed(method: str, request: Message, policy: Policy, compile_: Compile) -> bool:
    paths = compile_(method, type(request))(request)
    return all(policy.allows(MALLORY, action_of(method), path) for path in paths)


def put(message: Any, path: tuple[str, ...], value: str) -> None:
    """Set a text of a request; the lists and maps on the way get one item."""
    member, *rest = path
    fields = {field.json_name: field for field in message.DESCRIPTOR.fields}
    field = fields.get(member) or message.DESCRIPTOR.fields_by_name["values"]
    held = getattr(message, field.name)
    if rest and rest[0] in ("[]", "{key}", "{}") and not field.is_repeated:
        put(held, path, value)  # in a union, a list is in a message of its own
    elif not rest:
        setattr(message, field.name, value)
    elif rest == ["[]"]:
        held.append(value)
    elif rest == ["{key}"]:
        held[value].SetInParent()
    elif rest[0] == "[]":
        put(held[0] if held else held.add(), tuple(rest[1:]), value)
    elif rest[0] == "{}":
        put(held["key"], tuple(rest[1:]), value)
    else:
        put(held, tuple(rest), value)


def request_of(spec: ServiceSpec, operation: str) -> Message:
    method = load_contract(spec).methods_by_name[operation]
    return message_factory.GetMessageClass(method.input_type)()


def labels(spec: ServiceSpec, operation: str) -> list[str]:
    shape = model.load_service(spec.name).operation_model(operation).input_shape
    assert shape is not None
    return [
        member
        for member, each in shape.members.items()
        if each.serialization.get("location") == "uri"
    ]


def minimal(spec: ServiceSpec, place: Named, value: str) -> Message:
    """A request that has the ids of its route, and the one at the place."""
    request = request_of(spec, place.operation)
    for member in labels(spec, place.operation):
        put(request, (member,), OTHER)
    put(request, place.path, value)
    return request


def crowded(spec: ServiceSpec, place: Named, value: str) -> Message:
    """A request that has other ids wherever it can have them besides."""
    request = minimal(spec, place, value)
    for each in named_places(spec.name):
        if (
            each.operation == place.operation
            and each.path != place.path
            and not _are_alternatives(request, each.path, place.path)
        ):
            put(request, each.path, each.values[-1][1].format(OTHER))
    return request


def _are_alternatives(message: Message, one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two paths are of different members of a union."""
    descriptor: Any = message.DESCRIPTOR
    for mine, theirs in zip(one, other, strict=False):
        if mine in ("[]", "{}", "{key}"):
            continue
        if mine != theirs:
            return any(oneof.name == "value" for oneof in descriptor.oneofs)
        fields = {field.json_name: field for field in descriptor.fields}
        field = fields.get(mine) or fields["values"]
        descriptor = field.message_type
        if descriptor is not None and "values" in descriptor.fields_by_name:
            descriptor = descriptor.fields_by_name["values"].message_type
    return False


def outcomes(
    spec: ServiceSpec, key: str, compile_: Compile = compile_paths
) -> Iterator[tuple[str, bool]]:
    """Whether each request is allowed that names `key`, where one called FORBIDDEN is forbidden."""
    for place in named_places(spec.name):
        method = f"{spec.grpc_service_full_name}/{place.operation}"
        for kind, form in place.values:
            forbidden = form.format(FORBIDDEN) if kind == "Resource" else FORBIDDEN
            policy = policy_without(policy_type(spec.name, kind), forbidden)
            for build in (minimal, crowded):
                request = build(spec, place, form.format(key))
                attempt = f"{build.__name__} {place}: {kind}"
                yield attempt, is_allowed(method, request, policy, compile_)


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_a_forbidden_resource_is_denied_wherever_a_request_can_name_it(spec: ServiceSpec) -> None:
    attempts = list(outcomes(spec, FORBIDDEN))
    assert len(attempts) > ATTEMPTS.get(spec.name, 100)
    assert [attempt for attempt, allowed in attempts if allowed] == []


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_other_resources_are_allowed_in_the_same_members(spec: ServiceSpec) -> None:
    assert [attempt for attempt, allowed in outcomes(spec, "third") if not allowed] == []


def first_only(method: str, request_class: type[Message]) -> Paths:
    paths = compile_paths(method, request_class)
    return lambda request: paths(request)[:1]


def test_bypasses_succeed_if_only_the_route_counts() -> None:
    """The control: the attempts succeed if only the route is authorized."""
    passed = [
        attempt
        for spec in SERVICES
        for attempt, allowed in outcomes(spec, FORBIDDEN, first_only)
        if allowed
    ]
    for known in (
        "minimal CreateJob sourceJobId: Job",
        "minimal StartRunBatch defaultRunSetting.workflowId: Workflow",
        "minimal CreateShare resourceArn: Workflow",
        "minimal BatchDeleteReadSet ids.[]: ReadSet",
    ):
        assert known in passed


NOT_RESOURCES = {
    "clientToken",
    "requestId",  # an idempotency token
    "identityStoreId",
    "userIdentityId",
    "vpcId",
    "subnetIds",
    "securityGroupIds",
    "workflowOwnerId",
    "workflowBucketOwnerId",
    "outputBucketOwnerId",
    "cacheBucketOwnerId",
    "ecrAccountId",
    "vpcOwnerAccountId",
    "sampleId",
    "subjectId",
    "runSettingId",
    "fullRepositoryId",
    *batch.NOT_RESOURCES,
}


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_bypass_attempts_cover_all_identifiers(spec: ServiceSpec) -> None:
    found = {(place.operation, place.path) for place in named_places(spec.name)}
    missed = {
        f"{operation} {'.'.join(path)}"
        for operation, path, _ in texts(spec.name)
        if (operation, path) not in found
        for member in [next(part for part in reversed(path) if part[0] not in "[{")]
        if re.search(r"^ids?$|(Id|Arn|Identifier)s?(ToAdd|ToRemove)?$", member)
        and member not in NOT_RESOURCES
    }
    assert missed == set()


# --- Unified RPCs ---------------------------------------------------------------------------------

NAMES = {
    "deadline": (
        "deadline/farms/{Farm}/queues/{Queue}/jobs/{Job}/steps/{Step}/tasks/{Task}",
        ("Farm", "Queue", "Job", "Step", "Task"),
    ),
    "omics": ("omics/runs/{Run}/tasks/{Task}", ("Run", "Task")),
}
UNIFIED = "taskgate.v1.TaskService"


def unified_requests(name: str, parent: str) -> Iterator[tuple[str, Message]]:
    for method in task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].methods:
        kind = message_factory.GetMessageClass(method.input_type)
        fields = kind.DESCRIPTOR.fields_by_name
        if "name" in fields:
            yield method.name, kind(name=name)
        if "names" in fields:
            yield method.name, kind(names=[name])
        if "updates" in fields:
            yield method.name, kind(updates=[task_update_pb2.TaskUpdate(name=name)])
        if "parent" in fields:
            yield method.name, kind(parent=parent)


@pytest.mark.parametrize("service", NAMES)
def test_a_forbidden_resource_is_denied_in_every_name(service: str) -> None:
    text, types = NAMES[service]
    for kind in types:
        ids = dict.fromkeys(types, OTHER) | {kind: FORBIDDEN}
        name = text.format(**ids)
        for method, request in unified_requests(name, name.rpartition("/tasks/")[0]):
            policy = policy_without(policy_type(text.partition("/")[0], kind), FORBIDDEN)
            allowed = is_allowed(f"{UNIFIED}/{method}", request, policy, compile_paths)
            assert allowed == (kind == "Task" and "parent" in str(request)), (kind, method)


# --- Over the wire --------------------------------------------------------------------------------

WORKFLOW, READ_SET, SEQUENCE_STORE = "7654321", "1234567890", "9876543210"
POLICY = f"""
{EVERYTHING}
forbid (principal, action, resource in Deadline::Job::"{seed.JOB_ID}");
forbid (principal, action, resource in Omics::Workflow::"{WORKFLOW}");
forbid (principal, action, resource in Omics::ReadSet::"{READ_SET}");
"""


@pytest.fixture(scope="module")
def channel(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    file: Path = tmp_path_factory.mktemp("policy") / "policy.cedar"
    file.write_text(POLICY)
    with (
        running_server(settings_for(aws.endpoint_url, policy_files=[file])) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield channel


def reason(channel: grpc.Channel, request: Message) -> str:
    """Return why a call failed; empty if it succeeded."""
    name = type(request).__name__.removesuffix("Request")
    module = deadline_pb2_grpc if type(request).__module__.startswith("taskgate.deadline") else None
    stub: Any = (
        module.DeadlineServiceStub(channel) if module else omics_pb2_grpc.OmicsServiceStub(channel)
    )
    try:
        getattr(stub, name)(request, timeout=SECONDS)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call, too
        assert status is not None
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        return str(info.reason)
    return ""


def copy_of(job: str) -> Message:
    return deadline_pb2.CreateJobRequest(
        farm_id=seed.FARM_ID, queue_id=seed.QUEUE_ID, priority=50, source_job_id=job
    )


def batch_of(workflow: str) -> Message:
    request = omics_pb2.StartRunBatchRequest(request_id="token")
    request.default_run_setting.workflow_id = workflow
    request.default_run_setting.role_arn = "arn:aws:iam::111122223333:role/runs"
    request.batch_run_settings.inline_settings.values.add(run_setting_id="one")
    return request


def workflow_of_owner(workflow: str) -> Message:
    return omics_pb2.GetWorkflowRequest(id=workflow, workflow_owner_id="111122223333")


def share_of(workflow: str) -> Message:
    arn = f"arn:aws:omics:us-west-2:111122223333:workflow/{workflow}"
    return omics_pb2.CreateShareRequest(resource_arn=arn, principal_subscriber="444455556666")


def deletion_of(read_set: str) -> Message:
    return omics_pb2.BatchDeleteReadSetRequest(sequence_store_id=SEQUENCE_STORE, ids=[read_set])


@pytest.mark.parametrize(
    ("build", "forbidden", "permitted"),
    [
        (copy_of, seed.JOB_ID, f"job-{'0' * 31}9"),
        (batch_of, WORKFLOW, "1234567"),
        (workflow_of_owner, WORKFLOW, "1234567"),
        (share_of, WORKFLOW, "1234567"),
        (deletion_of, READ_SET, "9999999999"),
    ],
)
def test_known_bypasses_are_denied(
    channel: grpc.Channel, build: Callable[[str], Message], forbidden: str, permitted: str
) -> None:
    assert reason(channel, build(forbidden)) == "POLICY_DENIED"
    assert reason(channel, build(permitted)) != "POLICY_DENIED"
