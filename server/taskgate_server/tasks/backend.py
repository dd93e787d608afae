"""The tasks of one AWS service, as TaskService needs them: `TaskBackend`.

`services/<name>/tasks.py` has the class `Tasks` of each AWS service.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

from google.protobuf.message import Message

from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_server import errors
from taskgate_server.aws import model, naming
from taskgate_server.aws.paging import PagedOperation, Rows
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import DEFAULT_TARGET, CallContext
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks import parent_state
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.listing.pages import Cursor, Page
from taskgate_server.tasks.names import NameTemplate, Parent, check_length
from taskgate_server.tasks.parent_state import ParentKind, ParentState
from taskgate_server.tasks.states import State
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.request import AwsRequest

TaskView: TypeAlias = "task_pb2.TaskView.ValueType"
Action: TypeAlias = "task_update_pb2.TaskAction.ValueType"

ToNative: TypeAlias = Callable[[Mapping[str, Any]], Message]
"""Converts AWS's response to the response message of the AWS RPC."""

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
"""Size of the cache of parsed names, for each AWS service of each target."""
PARSED_BYTES: Final = 2500
"""Measured memory of a parsed name, without the two copies of the name itself."""

COMMON_METHODS: Final = frozenset(
    {
        *("GetTask", "BatchGetTasks", "ListTasks", "SummarizeTasks"),
        *("WatchTasks", "WaitTask", "StreamTaskLogs"),
    }
)
"""The methods of TaskService that work on the tasks of every AWS service."""

METHODS: Final[Mapping[Action, str]] = {
    task_update_pb2.TASK_ACTION_CANCEL: "CancelTask",
    task_update_pb2.TASK_ACTION_RETRY: "RetryTask",
    task_update_pb2.TASK_ACTION_SUSPEND: "SuspendTask",
}
"""The methods of TaskService that change a task, by their action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How an AWS service carries out an action on a task."""

    operation: str
    """The AWS operation."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Its parameters besides those of `TaskBackend.write_params`."""


class TaskBackend(ABC):
    """The tasks of one AWS service."""

    names: ClassVar[NameTemplate]
    """The form of the task names, with the AWS operation that reads one task."""

    summarized_kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of parents that `summarize` accepts."""

    parents: ClassVar[Mapping[str, ParentKind]] = {}
    """How each kind of parent that can end reports its state. A watch of another one, such as a
    queue, is settled when its tasks are."""

    root_kind: ClassVar[str] = ""
    """The kind of parent that ends for good together with everything it contains, if there is
    one."""

    ids_are_global: ClassVar[bool] = False
    """Whether AWS ignores the parents in a task's name when it changes the task. The task is then
    read first, and `read_task` has to compare its parents: a policy decides by the name."""

    states: ClassVar[Mapping[str, State]]
    """The known AWS values of a task's state, and what they mean."""

    native_fields: ClassVar[Mapping[str, str]]
    """Fields of Task that are copied from a field of AWS's response, by name."""

    changes: ClassVar[Mapping[Action, Change]] = {}
    """How the AWS service carries out the actions that it has."""

    alternative: ClassVar[str] = ""
    """The AWS operation that comes closest to the actions that it does not have."""

    def __init__(self, gateway: Gateway, to_native: ToNative) -> None:
        self.gateway = gateway
        self._to_native = to_native
        self._aws_requests: BoundedCache[str, AwsRequest] = BoundedCache(MAX_CACHE_BYTES)
        """By the name of the task. Parsing and checking a name takes 20 to 45 µs."""

    @classmethod
    def methods(cls) -> frozenset[str]:
        """Return the methods of TaskService that work on the tasks."""
        changes = {METHODS[action] for action in cls.changes}
        return COMMON_METHODS | changes | ({"BatchUpdateTasks"} if changes else set())

    def read_params(self, ids: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the parameters of `names.operation` for the parameters in a task's name."""
        return ids

    def write_params(self, ids: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the parameters of `changes` for the parameters in a task's name."""
        return ids

    def read_task(self, name: str, aws_response: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002  # for others
        """Return the task in a response of `names.operation`.

        Args:
            name: of the task, for the error.
            aws_response: the response.

        Raises:
            errors.TaskgateError: NOT_FOUND, there is none.
        """
        return aws_response

    @property
    def members(self) -> frozenset[str]:
        """AWS's members of a task, as `read_task` returns it."""
        service = model.load_service(self.names.service)
        shape = service.operation_model(self.names.operation).output_shape
        return frozenset(shape.members) if shape else frozenset()

    def to_native(self, task: Mapping[str, Any]) -> Message:
        """Return AWS's task, or a row of a list, as a message of the AWS service's contract."""
        return self._to_native(task)

    @property
    def gets_in_batches(self) -> bool:
        """Whether many tasks can be read in few AWS calls."""
        return self.names.operation in self.gateway.spec.batches

    async def fetch_page(
        self,
        paged: PagedOperation,
        params: Mapping[str, Any],
        token: str,
        size: int,
        options: CallOptions,
    ) -> tuple[Rows, float]:
        """Return a page of an AWS list, and when AWS sent it, in seconds since 1970.

        Args:
            paged: the operation.
            params: its parameters without those of paging.
            token: AWS's page token; empty for the first page.
            size: the number of rows to request, limited to AWS's maximum.
            options: of the calls to AWS.
        """
        params = {**params, **paged.params(token, size)}
        response = await self.gateway.call(paged.operation, params, options)
        return paged.read(response.value), response.observe_time

    async def pages(
        self, paged: PagedOperation, params: Mapping[str, Any], options: CallOptions
    ) -> AsyncIterator[tuple[Rows, float]]:
        """Yield the pages of an AWS list, each as `fetch_page` returns it."""
        token = ""
        while True:
            page, observe_time = await self.fetch_page(
                paged, params, token, paged.max_size, options
            )
            yield page, observe_time
            if page.next_token in ("", token):  # a repeated token would never end
                return
            token = page.next_token

    async def read_rows(
        self, paged: PagedOperation, params: Mapping[str, Any], options: CallOptions
    ) -> tuple[list[Mapping[str, Any]], float]:
        """Return all rows of an AWS list, and when AWS sent the oldest of them."""
        rows: list[Mapping[str, Any]] = []
        oldest = float("inf")
        async for page, observe_time in self.pages(paged, params, options):
            rows += page.rows
            oldest = min(oldest, observe_time)
        return rows, oldest

    async def get_response(
        self,
        name: str,
        view: TaskView,  # noqa: ARG002  # AWS's response is complete anyway
        call: CallContext,
    ) -> bytes:
        """Return a serialized GetTaskResponse, which is made once for all who share the response.

        Args:
            name: of the task, as the caller sent it.
            view: the fields that the caller needs.
            call: the RPC.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for a malformed name, or the error of AWS.
        """
        aws_request = self.aws_request(name)
        aws_response = self.gateway.cached_response(aws_request, call.max_age, call.since_write)
        if aws_response is None:
            aws_response = await self.gateway.request(aws_request, CallOptions.of(call))
        record = call.record
        record.aws_request_id, record.aws_span = aws_response.request_id, aws_response.span
        response = aws_response.forms.get(name)
        if response is None:
            found = self.read_task(name, aws_response.value)
            task = self.task(name, found, aws_response.observe_time)
            response = task_service_pb2.GetTaskResponse(task=task).SerializeToString()
            aws_response.forms[name] = response
        return response

    def aws_request(self, name: str) -> AwsRequest:
        """Return the AWS request that reads a task.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for a malformed name.
        """
        aws_request = self._aws_requests.get(name)
        if aws_request is None:
            params = self.read_params(self.names.parse(name, "name"))
            aws_request = self.gateway.make_request(self.names.operation, params)
            self._aws_requests.put(name, aws_request, PARSED_BYTES + 2 * len(name))
        return aws_request

    async def get_many(
        self,
        names: Sequence[str],
        view: TaskView,  # noqa: ARG002  # AWS's responses are complete anyway
        options: CallOptions,
    ) -> list[task_pb2.Task | errors.TaskgateError]:
        """Return many tasks in the order of the names, or the error of each.

        Args:
            names: well-formed names of tasks of this AWS service.
            view: the fields that the caller needs.
            options: of the calls to AWS.
        """
        return list(await asyncio.gather(*(self._get_outcome(name, options) for name in names)))

    async def _get_outcome(
        self, name: str, options: CallOptions
    ) -> task_pb2.Task | errors.TaskgateError:
        try:
            aws_response = await self.gateway.fetch(self.aws_request(name), options)
            found = self.read_task(name, aws_response.value)
            return self.task(name, found, aws_response.observe_time)
        except errors.TaskgateError as error:
            return error

    @abstractmethod
    async def list_page(
        self,
        parent: Parent,
        cursor: Cursor,
        size: int,
        options: CallOptions,
        *,
        native_state: str | None = None,
    ) -> Page:
        """Return a page of a parent's tasks.

        Args:
            parent: of one of the kinds in `names`.
            cursor: where the page begins. The caller skips the first `cursor.skip` tasks.
            size: the preferred number of tasks; the page may have fewer or more.
            options: of the calls to AWS.
            native_state: the AWS value of the requested tasks' state. Where AWS can filter by it,
                the page may leave out other tasks.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for an invalid cursor, or the error of AWS.
        """

    @abstractmethod
    async def summarize(
        self, parent: Parent, options: CallOptions
    ) -> task_service_pb2.SummarizeTasksResponse:
        """Return the counts of a parent's tasks.

        Raises:
            errors.TaskgateError: AWS refused a request or could not be reached.
        """

    def root(self, name: str) -> Parent | None:
        """Return the job or run that contains a task or a parent, or is that parent.

        Args:
            name: of the task or the parent, well-formed.

        Returns:
            None if nothing that contains it ever ends.
        """
        root = self.names.parents_of(name).get(self.root_kind)
        return None if root is None else self.names.parse_parent(root, "name")

    async def parent_state(self, parent: Parent, options: CallOptions) -> ParentState:
        """Return the state of a parent; that of the job, for a step whose job has ended for good.

        Raises:
            errors.TaskgateError: AWS refused a request or could not be reached.
        """
        return await self.root_if_final(await self._own_state(parent, options), options)

    async def root_if_final(self, state: ParentState, options: CallOptions) -> ParentState:
        """Return the state of the job or run instead of a part's, if it has ended for good.

        Args:
            state: of a parent. AWS is not called if it has ended or is a job or run itself.
            options: of the calls to AWS.

        Raises:
            errors.TaskgateError: AWS refused the request or could not be reached.
        """
        root = self.root(state.name)
        if state.ended or root is None or root.name == state.name:
            return state
        outer = await self._own_state(root, options)
        return outer if outer.final else state

    async def _own_state(self, parent: Parent, options: CallOptions) -> ParentState:
        kind = self.parents.get(parent.kind)
        if kind is None:
            return parent_state.unending(parent.name, time.time())
        response = await self.gateway.call(kind.operation, kind.params(parent), options)
        return kind.read(parent.name, response.value, response.observe_time)

    def row_task(
        self, ids: Mapping[str, str], row: Mapping[str, Any], observe_time: float
    ) -> task_pb2.Task:
        """Return the task in a row of an AWS list.

        Args:
            ids: the AWS parameters of the task's name that the request for the list contained.
            row: contains the other parameters.
            observe_time: when AWS sent the list, in seconds since 1970.

        Raises:
            errors.TaskgateError: UNKNOWN, the row does not fit the model.
        """
        values = {name: str(ids.get(name) or row.get(name) or "") for name in self.names.parameters}
        try:
            name = self.names.format(values)
        except KeyError:
            raise errors.UnreadableResponseError(self.names.operation) from None
        return self.task(name, row, observe_time)

    def missing_fields(self, paged: PagedOperation) -> frozenset[str]:
        """Return the native fields of a task that the rows of a list do not have."""
        return frozenset(naming.field_name(member) for member in self.members - paged.members)

    def task(
        self, name: str, aws_response: Mapping[str, Any], observe_time: float
    ) -> task_pb2.Task:
        """Return the task in a response of AWS.

        Args:
            name: of the task.
            aws_response: AWS's JSON, from `read_task` or a row of a list.
            observe_time: when AWS sent it, in seconds since 1970.

        Raises:
            errors.TaskgateError: UNKNOWN, the response does not fit the model.
        """
        task = self.to_task(aws_response, self.to_native(aws_response))
        task.name = name
        task.observe_time.CopyFrom(to_timestamp(observe_time))
        return task

    @abstractmethod
    def to_task(self, aws_response: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """Convert AWS's response to a Task without name and time.

        Args:
            aws_response: as boto3 returns it, with AWS's own enum values.
            native: the same as the response message of the AWS RPC.
        """


@dataclass(frozen=True, slots=True)
class Backends:
    """The backends of one target, by the first segment of their task names."""

    by_service: Mapping[str, TaskBackend]
    target: str = DEFAULT_TARGET
    """The AWS account and region, by its name in the settings."""

    def of(self, name: str, field: str) -> TaskBackend:
        """Return the backend for the name of a task or a parent.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the possible forms of a task's name.
        """
        check_length(name, field)
        backend = self.by_service.get(name.partition("/")[0])
        if backend is None:
            forms = " or ".join(each.names.text for each in self.by_service.values())
            raise errors.invalid_request({field: f"must have the form {forms}"})
        return backend

    @property
    def scope(self) -> tuple[str, ...]:
        """What tokens are bound to besides their request: nothing for the default target."""
        return () if self.target == DEFAULT_TARGET else (self.target,)

    def parent(
        self, name: str, field: str, kinds: Container[str] | None = None
    ) -> tuple[TaskBackend, Parent]:
        """Return the backend for the name of a parent, and the parsed name.

        Args:
            name: as the caller sent it.
            field: the field of the request that contains the name.
            kinds: the accepted keys of `ServiceSpec.parent_names`; all if None.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the possible forms of a parent's name.
        """
        check_length(name, field)
        backend = self.by_service.get(name.partition("/")[0])
        if backend is None:
            forms = [
                form
                for each in self.by_service.values()
                for kind, form in each.names.parent_forms.items()
                if kinds is None or kind in kinds
            ]
            raise errors.invalid_request({field: f"must have the form {' or '.join(forms)}"})
        return backend, backend.names.parse_parent(name, field, kinds)


def load_backend(spec: ServiceSpec) -> type[TaskBackend]:
    """Return the class `Tasks` of an AWS service."""
    backend: type[TaskBackend] = spec.load("tasks").Tasks
    return backend


def set_fields(native: Message, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the native fields that are set, by their names in Task.

    Args:
        native: AWS's response.
        fields: names of fields of Task, and of fields of `native` with the same type.
    """
    return {
        field: getattr(native, source)
        for field, source in fields.items()
        if native.HasField(source)
    }
