"""Server reflection, health's List and unknown methods over the wire, as tools use them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from taskgate.v1 import task_service_pb2
from taskgate_server.auth.actions import action_of

Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse
VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]


def reflect(channel: grpc.Channel, request: Request, version: str = VERSIONS[0]) -> Response:
    method: Any = channel.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=Request.SerializeToString,
        response_deserializer=Response.FromString,
    )
    (response,) = method(iter([request]), timeout=20)
    assert isinstance(response, Response)
    return response


def files(response: Response) -> dict[str, FileDescriptorProto]:
    found = response.file_descriptor_response.file_descriptor_proto
    protos = [FileDescriptorProto.FromString(each) for each in found]
    return {proto.name: proto for proto in protos}


def comments(proto: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    locations = proto.source_code_info.location
    return {tuple(each.path): each.leading_comments for each in locations if each.leading_comments}


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions_list_every_service(channel: grpc.Channel, version: str) -> None:
    response = reflect(channel, Request(list_services=""), version)
    assert [each.name for each in response.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "taskgate.deadline.v1.DeadlineService",
        "taskgate.omics.v1.OmicsService",
        "taskgate.v1.TaskService",
    ]


def test_both_versions_are_one_action_of_the_policy() -> None:
    actions = {action_of(f"{each}.ServerReflection/ServerReflectionInfo") for each in VERSIONS}
    assert [action.name for action in actions] == ["reflection/ServerReflectionInfo"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("taskgate.v1.TaskService", "taskgate/v1/task_service.proto"),
        ("taskgate.v1.TaskService.GetTask", "taskgate/v1/task_service.proto"),
        ("taskgate.v1.Task", "taskgate/v1/task.proto"),
        ("taskgate.v1.Task.name", "taskgate/v1/task.proto"),
        ("taskgate.v1.TaskState", "taskgate/v1/task.proto"),
        ("taskgate.v1.TASK_STATE_RUNNING", "taskgate/v1/task.proto"),
        ("taskgate.v1.WatchTasksResponse.event", "taskgate/v1/task_watch.proto"),
        ("taskgate.omics.v1.OmicsService.GetRun", "taskgate/omics/v1/omics.proto"),
    ],
)
def test_every_kind_of_symbol_is_found_with_comments(
    channel: grpc.Channel, version: str, symbol: str, file: str
) -> None:
    found = files(reflect(channel, Request(file_containing_symbol=symbol), version))
    assert comments(found[file])
    assert all(name in found for name in found[file].dependency)


def test_the_comment_of_a_method_is_that_of_the_proto_file(channel: grpc.Channel) -> None:
    symbol = "taskgate.v1.TaskService.GetTask"
    proto = files(reflect(channel, Request(file_containing_symbol=symbol)))[
        "taskgate/v1/task_service.proto"
    ]
    methods = [method.name for method in proto.service[0].method]
    service, method = 6, 2  # field numbers in FileDescriptorProto and ServiceDescriptorProto
    assert comments(proto)[service, 0, method, methods.index("GetTask")].strip()


@pytest.mark.parametrize(
    "symbol", ["grpc.health.v1.Health.List", *(f"{each}.ServerReflection" for each in VERSIONS)]
)
def test_health_and_reflection_describe_themselves(channel: grpc.Channel, symbol: str) -> None:
    response = reflect(channel, Request(file_containing_symbol=symbol))
    assert len(files(response)) == 1


@pytest.mark.parametrize(
    "request_",
    [
        Request(file_containing_symbol="taskgate.v1.TaskService.Nope"),
        Request(file_containing_symbol="Nope"),
        Request(file_containing_symbol=""),
        Request(file_by_filename="../../etc/passwd"),
        Request(all_extension_numbers_of_type="taskgate.v1.Nope"),
        Request(
            file_containing_extension=reflection_pb2.ExtensionRequest(
                containing_type="taskgate.v1.Task", extension_number=7
            )
        ),
    ],
    ids=str,
)
def test_unknown_symbols_are_not_found(channel: grpc.Channel, request_: Request) -> None:
    response = reflect(channel, request_)
    assert response.error_response.error_code == NOT_FOUND
    assert response.original_request == request_


def test_a_long_name_is_refused_and_not_sent_back(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        reflect(channel, Request(file_containing_symbol="x" * 10_000))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_files_and_extensions(channel: grpc.Channel) -> None:
    name = "taskgate/v1/task.proto"
    assert name in files(reflect(channel, Request(file_by_filename=name)))
    task = "taskgate.v1.Task"
    response = reflect(channel, Request(all_extension_numbers_of_type=task))
    assert response.all_extension_numbers_response.base_type_name == task
    response = reflect(channel, Request())
    assert response.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_health_lists_all_statuses(channel: grpc.Channel) -> None:
    messages: Any = health_pb2  # its type stubs lack `List`
    method: Any = channel.unary_unary(
        "/grpc.health.v1.Health/List",
        request_serializer=messages.HealthListRequest.SerializeToString,
        response_deserializer=messages.HealthListResponse.FromString,
    )
    response = method(messages.HealthListRequest(), timeout=10)
    assert {"", "taskgate.v1.TaskService"} <= set(response.statuses)
    serving = health_pb2.HealthCheckResponse.SERVING
    assert {each.status for each in response.statuses.values()} == {serving}


@pytest.mark.parametrize(
    "path",
    [
        "/taskgate.v1.TaskService/Nope",
        "/taskgate.v1.TaskService/",
        "/taskgate.v1.TaskService",
        "/taskgate.omics.v1.OmicsService/gettask",
        "/grpc.health.v1.Health/Nope",
        "/Nope/Nope",
        "/",
        "//",
        "/a/b/c",
    ],
)
@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
def test_unknown_methods_carry_details(channel: grpc.Channel, path: str, kind: str) -> None:
    serialize = task_service_pb2.GetTaskRequest.SerializeToString
    method: Any = getattr(channel, kind)(path, request_serializer=serialize)
    request: Any = task_service_pb2.GetTaskRequest()
    with pytest.raises(grpc.RpcError) as caught:
        list(method(iter([request]))) if kind == "stream_stream" else method(request)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # it is a call, too
    assert status is not None
    assert status.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "UNKNOWN_METHOD"
    assert info.metadata["method"] == path.removeprefix("/")
