"""What TaskService needs of an AWS service: `TaskBackend`, which one module here extends each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, TypeAlias

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_pb2
from taskgate_server.aws.services import ServiceSpec
from taskgate_server.calls import Call
from taskgate_server.tasks.names import NameTemplate
from taskgate_server.upstream.gateway import Gateway

State: TypeAlias = "task_pb2.TaskState.ValueType"

ToNative: TypeAlias = Callable[[Mapping[str, Any]], Message]
"""AWS's answer as the message of its own RPC; app.py gives the converter's."""


class TaskBackend(ABC):
    """The tasks of one AWS service; a subclass says what is particular to it."""

    names: ClassVar[NameTemplate]
    """The form of its task names; also names the AWS operation that gets one task."""

    def __init__(self, gateway: Gateway, to_native: ToNative) -> None:
        self.gateway = gateway
        self._to_native = to_native

    async def get(self, name: str, call: Call) -> task_pb2.Task:
        """The task of that name.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for a malformed name, else as AWS answers.
        """
        params = self.names.parse(name, "name")
        answer = await self.gateway.call(
            self.names.operation,
            params,
            time_limit=call.time_remaining(),
            max_age=call.max_age,
        )
        call.aws_request_id = answer.request_id
        task = self.to_task(answer.value, self._to_native(answer.value))
        task.name = name
        task.observe_time.CopyFrom(to_timestamp(answer.observe_time))
        return task

    @abstractmethod
    def to_task(self, answer: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """All of Task that AWS's answer tells.

        Args:
            answer: as boto3 has it, with AWS's own enum words.
            native: the same as the message of AWS's own RPC.
        """


def load_backend(spec: ServiceSpec) -> type[TaskBackend]:
    """The class `Tasks` of the module here that is named after the AWS service."""
    backend: type[TaskBackend] = import_module(f"taskgate_server.tasks.{spec.name}").Tasks
    return backend


def state_of(word: str | None, states: Mapping[str, State]) -> State:
    """The shared state for AWS's word; UNRECOGNIZED for a word that the table lacks."""
    if word is None:
        return task_pb2.TASK_STATE_UNSPECIFIED
    return states.get(word, task_pb2.TASK_STATE_UNRECOGNIZED)


def to_timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 as protobuf has them, to the microsecond."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=micros * 1000)


def present(native: Message, fields: Mapping[str, str]) -> dict[str, Any]:
    """The native fields that are set, under their names in Task.

    Args:
        native: AWS's answer.
        fields: field of Task -> field of `native`, both of one type.
    """
    return {
        field: getattr(native, source)
        for field, source in fields.items()
        if native.HasField(source)
    }
