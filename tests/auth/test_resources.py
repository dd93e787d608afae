"""The resources that requests name, for every RPC of the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from taskgate.v1 import task_service_pb2
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.identifiers import (
    RESOURCE,
    Identifier,
    NotResource,
    Place,
    identifiers_of,
    looks_like_identifier,
    places,
)
from taskgate_server.auth.resources import (
    NOTHING,
    RESERVED,
    SERVICE,
    THIS_SERVER,
    compile_paths,
    parents,
    policy_type,
    policy_types,
    types_named,
)
from taskgate_server.aws import model
from taskgate_server.rpc.handlers import load_contract
from taskgate_server.services.registry import SERVICES

TASKS = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
METHODS = {
    f"{method.containing_service.full_name}/{method.name}": method
    for service in (TASKS, *(load_contract(spec) for spec in SERVICES))
    for method in service.methods
}


def paths_of(method: str, **fields: object) -> list[str]:
    """Return the paths of a request as text."""
    kind = message_factory.GetMessageClass(METHODS[method].input_type)
    request: Message = json_format.ParseDict(fields, kind())
    return [
        "/".join(f"{kind}:{key}" for kind, key in path)
        for path in compile_paths(method, kind)(request)
    ]


DEADLINE, OMICS, UNIFIED = (
    "taskgate.deadline.v1.DeadlineService",
    "taskgate.omics.v1.OmicsService",
    "taskgate.v1.TaskService",
)
IDS = {"farmId": "f", "queueId": "q", "jobId": "j", "stepId": "s", "taskId": "t"}
TASK = "deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t"
FARM = "AwsService:deadline/Farm:f"
JOB = f"{FARM}/Queue:q/Job:j"
WORKFLOW = "AwsService:omics/Workflow:w"
STORE = "AwsService:omics/SequenceStore:s"
ARN = "arn:aws:omics:us-west-2:111122223333"


@pytest.mark.parametrize(
    ("method", "fields", "paths"),
    [
        (f"{UNIFIED}/GetTask", {"name": TASK}, [f"{JOB}/Step:s/Task:t"]),
        (f"{DEADLINE}/GetTask", IDS, [f"{JOB}/Step:s/Task:t"]),
        (f"{UNIFIED}/GetTask", {"name": "omics/runs/7/tasks/8"}, ["AwsService:omics/Run:7/Task:8"]),
        (f"{OMICS}/GetRunTask", {"id": "7", "taskId": "8"}, ["AwsService:omics/Run:7/Task:8"]),
        (f"{UNIFIED}/WatchTasks", {"parent": "omics/runs/7"}, ["AwsService:omics/Run:7"]),
        (f"{UNIFIED}/WatchTasks", {}, ["AwsService:"]),
        (f"{UNIFIED}/GetServerInfo", {}, ["Server:taskgate"]),
        (
            f"{UNIFIED}/BatchUpdateTasks",
            {"updates": [{"name": "omics/runs/7/tasks/8"}, {"name": "no name"}]},
            ["AwsService:omics/Run:7/Task:8", "AwsService:"],
        ),
        (f"{DEADLINE}/BatchGetTask", {"identifiers": [IDS]}, [f"{JOB}/Step:s/Task:t"]),
        (f"{DEADLINE}/BatchUpdateTask", {"tasks": [IDS]}, [f"{JOB}/Step:s/Task:t"]),
        (f"{DEADLINE}/BatchGetTask", {}, ["AwsService:deadline"]),
        (f"{DEADLINE}/ListFarms", {}, ["AwsService:deadline"]),
        (
            f"{DEADLINE}/SearchTasks",
            {"farmId": "f", "queueIds": ["q", "r"]},
            [f"{FARM}/Queue:q", f"{FARM}/Queue:r"],
        ),
        (
            f"{DEADLINE}/CreateJob",
            {"farmId": "f", "queueId": "q", "sourceJobId": "j"},
            [f"{FARM}/Queue:q", f"{FARM}/Queue:q/Job:j"],
        ),
        (
            f"{DEADLINE}/DeleteQueueFleetAssociation",
            {"farmId": "f", "queueId": "q", "fleetId": "l"},
            [f"{FARM}/Queue:q", f"{FARM}/Fleet:l"],
        ),
        (
            f"{OMICS}/StartRun",
            {"workflowId": "w", "runGroupId": "g", "requestId": "token", "roleArn": "arn"},
            [
                "AwsService:omics",
                "AwsService:omics/Role:arn",
                "AwsService:omics/RunGroup:g",
                "AwsService:omics/Workflow:w",
            ],
        ),
        (f"{OMICS}/GetSequenceStore", {"id": "s"}, ["AwsService:omics/SequenceStore:s"]),
        (f"{OMICS}/GetWorkflow", {"id": "w", "workflowOwnerId": "1"}, [f"{WORKFLOW}"]),
        (
            f"{OMICS}/StartRunBatch",
            {"defaultRunSetting": {"workflowId": "w", "workflowVersionName": "v"}},
            ["AwsService:omics", WORKFLOW, f"{WORKFLOW}/WorkflowVersion:v"],
        ),
        (
            f"{OMICS}/BatchDeleteReadSet",
            {"sequenceStoreId": "s", "ids": ["1", "2"]},
            [STORE, f"{STORE}/ReadSet:1", f"{STORE}/ReadSet:2"],
        ),
        (
            f"{OMICS}/CreateShare",
            {"resourceArn": f"{ARN}:workflow/w"},
            ["AwsService:omics", WORKFLOW],
        ),
        (f"{OMICS}/TagResource", {"resourceArn": f"{ARN}:run/7"}, ["AwsService:omics/Run:7"]),
        (
            f"{OMICS}/TagResource",
            {"resourceArn": "arn:aws:s3:::bucket"},
            ["AwsService:omics/Resource:arn:aws:s3:::bucket"],
        ),
        (
            f"{DEADLINE}/TagResource",
            {"resourceArn": "arn:aws:deadline:us-west-2:1:farm/f/queue/q/job/j"},
            [JOB],
        ),
        (
            f"{OMICS}/StartReadSetImportJob",
            {
                "sequenceStoreId": "s",
                "roleArn": "role",
                "sources": [{"referenceArn": f"{ARN}:referenceStore/r/reference/1"}, {}],
            },
            [STORE, f"{STORE}/Role:role", "AwsService:omics/ReferenceStore:r/Reference:1"],
        ),
        (
            f"{DEADLINE}/SearchTasks",
            {"farmId": "f", "queueIds": ["q"], "jobId": "j"},
            [f"{FARM}/Queue:q", JOB],
        ),
        (
            f"{DEADLINE}/ListFarms",
            {"principalId": "p"},
            ["AwsService:deadline", "AwsService:deadline/Principal:p"],
        ),
        (
            f"{DEADLINE}/BatchGetJobEntity",
            {
                "farmId": "f",
                "fleetId": "l",
                "workerId": "w",
                "identifiers": [
                    {"stepDetails": {"jobId": "j", "stepId": "s"}},
                    {"environmentDetails": {"jobId": "j", "environmentId": "STEP:t:blender"}},
                ],
            },
            [f"{FARM}/Fleet:l/Worker:w", f"{FARM}/Job:j/Step:s", f"{FARM}/Job:j/Step:t"],
        ),
        (
            f"{DEADLINE}/UpdateWorkerSchedule",
            {
                "farmId": "f",
                "fleetId": "l",
                "workerId": "w",
                "updatedSessionActions": {"a": {}},
            },
            [f"{FARM}/Fleet:l/Worker:w", f"{FARM}/SessionAction:a"],
        ),
    ],
)
def test_request_names_resources(method: str, fields: dict[str, object], paths: list[str]) -> None:
    assert sorted(paths_of(method, **fields)) == sorted(paths)


@pytest.mark.parametrize("method", METHODS)
def test_schema_has_the_types_of_empty_requests(method: str) -> None:
    kind = message_factory.GetMessageClass(METHODS[method].input_type)
    paths = compile_paths(method, kind)(kind())
    assert paths
    for path in paths:
        assert set(policy_types(path)) <= set(parents())
    if method.startswith(UNIFIED):
        assert paths in ([NOTHING], [THIS_SERVER])


def filled(kind: type[Message]) -> Message:
    """Return a request with every string set, and one item in each list."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        value = getattr(message, field.name)
        if field.message_type is not None and field.is_repeated and not is_map:
            value.append(filled(message_factory.GetMessageClass(field.message_type)))  # type: ignore[arg-type]  # a descriptor of either make
        elif field.type == field.TYPE_STRING and field.is_repeated:
            value.append("word")
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, "word")
    return message


@pytest.mark.parametrize("method", [name for name in METHODS if not name.startswith(UNIFIED)])
def test_types_named_include_the_types_of_requests(method: str) -> None:
    kind = message_factory.GetMessageClass(METHODS[method].input_type)
    compiled = compile_paths(method, kind)
    for request in (kind(), filled(kind)):
        assert {policy_types(path)[-1] for path in compiled(request)} <= types_named(method)


def routed() -> Iterator[str]:
    for spec in SERVICES:
        for operation in model.operations(model.load_service(spec.name)):
            if "{" in operation.http["requestUri"]:
                yield f"{spec.grpc_service_full_name}/{operation.name}"


@pytest.mark.parametrize("method", [*routed()])
def test_each_id_of_the_route_is_in_the_path(method: str) -> None:
    service, _, name = method.rpartition("/")
    spec = next(spec for spec in SERVICES if spec.grpc_service_full_name == service)
    shape = model.load_service(spec.name).operation_model(name).input_shape
    assert shape is not None
    ids = {
        member: f"id-of-{member}"
        for member, each in shape.members.items()
        if each.serialization.get("location") == "uri"
        and isinstance(each, model.StringShape)
        and not each.enum
    }
    found = "/".join(paths_of(method, **ids))
    assert [each for each in ids.values() if each not in found] == []


@pytest.mark.parametrize(
    ("name", "group"),
    [
        (f"{UNIFIED}/GetTask", "read"),
        (f"{UNIFIED}/StreamTaskLogs", "read"),
        (f"{UNIFIED}/RetryTask", "write"),
        (f"{UNIFIED}/BatchUpdateTasks", "write"),
        (f"{UNIFIED}/SomethingNew", "write"),
        (f"{DEADLINE}/SearchJobs", "read"),
        (f"{DEADLINE}/CreateJob", "write"),
        (f"{DEADLINE}/DeleteFarm", "delete"),
        (f"{OMICS}/BatchDeleteReadSet", "delete"),
        (f"{DEADLINE}/AssumeQueueRoleForUser", "credentials"),
        ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "read"),
    ],
)
def test_groups_follow_from_the_model(name: str, group: str) -> None:
    assert action_of(name).group == group


def test_unified_rpcs_that_change_tasks_are_writes() -> None:
    writes = {m.name for m in TASKS.methods if action_of(f"{UNIFIED}/{m.name}").group == "write"}
    assert writes == {"CancelTask", "RetryTask", "SuspendTask", "BatchUpdateTasks"}


# --- Completeness of the classification -----------------------------------------------------------


def every_place() -> Iterator[tuple[str, model.OperationModel, Place]]:
    for spec in SERVICES:
        for operation in model.operations(model.load_service(spec.name)):
            for place in places(operation):
                yield spec.name, operation, place


def test_each_member_that_looks_like_an_identifier_is_classified() -> None:
    """A new one needs an entry in the service's spec: its type, or why it is not a resource."""
    unclassified = set()
    for service, operation, place in every_place():
        identifiers = identifiers_of(service)
        known = {
            *identifiers.parents,
            *identifiers.table.types.values(),
            RESOURCE,
            "",  # an ARN, or labelled: the value has the type
        }
        found = identifiers.classify(operation.name, place)
        is_known = found is not None and (isinstance(found, NotResource) or found.type in known)
        if looks_like_identifier(place) and not is_known:
            unclassified.add(f"{service} {operation.name}.{'.'.join(place.path)}")
    assert unclassified == set()


def test_tables_have_no_unused_entries() -> None:
    members: dict[str, set[str]] = {}
    for service, operation, place in every_place():
        members.setdefault(service, set()).update(
            {place.member, f"{operation.name}.{place.member}"}
        )
    for spec in SERVICES:
        table = spec.identifiers
        entries = {*table.types, *table.labelled, *table.not_resources}
        assert entries - members[spec.name] == set()


@pytest.mark.parametrize(
    ("path", "kind"), [(("gizmoId",), "Gizmo"), (("box", "[]", "ids", "[]"), "Job")]
)
def test_unknown_identifier_identifies_a_resource(path: tuple[str, ...], kind: str) -> None:
    place = Place(path=path, shape=model.StringShape("String", {"type": "string"}))
    found = identifiers_of("deadline").classify("GetJob", place)
    assert isinstance(found, Identifier)
    assert found.type == kind


def filters() -> list[tuple[str, str, str]]:
    return [
        (spec.name, operation, member)
        for spec in SERVICES
        for operation, members in spec.identifiers.filters.items()
        for member in members
    ]


@pytest.mark.parametrize(("service", "operation", "member"), filters())
def test_a_filter_narrows_a_read_to_what_is_in_its_route(
    service: str, operation: str, member: str
) -> None:
    spec = next(spec for spec in SERVICES if spec.name == service)
    method = f"{spec.grpc_service_full_name}/{operation}"
    assert action_of(method).group == "read"
    value: object = ["x"] if member.endswith("Ids") else "x"
    [narrowed] = paths_of(method, **{member: value})
    [route] = paths_of(method)
    assert narrowed.startswith(f"{route}/")


@pytest.mark.parametrize("kind", sorted(RESERVED))
def test_types_of_aws_cannot_be_taken_for_those_of_taskgate(kind: str) -> None:
    """MediaConvert has certificates, for instance, and Taskgate has callers with certificates."""
    assert policy_type("deadline", kind) == f"Deadline::{kind}Resource"
    assert policy_types(((SERVICE, "deadline"), (kind, "x"))) == [
        SERVICE,
        f"Deadline::{kind}Resource",
    ]


def test_a_target_named_like_a_service_is_a_target() -> None:
    assert policy_types((("Target", "deadline"),)) == ["Target"]
