"""The unified service for connectrpc's clients, which take descriptions of methods."""

from __future__ import annotations

from typing import Any

from connectrpc.compat import google_protobuf_codecs
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType

from taskgate.v1 import task_service_pb2, task_watch_pb2
from tests.support.http_client import TASKS

GET_TASK: Any = MethodInfo(
    name="GetTask",
    service_name=TASKS,
    input=task_service_pb2.GetTaskRequest,
    output=task_service_pb2.GetTaskResponse,
    idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS,
    stream_type=StreamType.UNARY,
)
WATCH_TASKS: Any = MethodInfo(
    name="WatchTasks",
    service_name=TASKS,
    input=task_watch_pb2.WatchTasksRequest,
    output=task_watch_pb2.WatchTasksResponse,
    idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS,
    stream_type=StreamType.SERVER_STREAM,
)
CODECS = {codec.name(): codec for codec in google_protobuf_codecs()}
