"""What TaskService needs of an AWS service: `TaskBackend`, which one module here extends each."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Final, TypeAlias

from google.protobuf.message import Message

from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_server import errors
from taskgate_server.aws import model, naming
from taskgate_server.aws.paging import PagedOperation, Rows
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import DEFAULT_TARGET, CallContext
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.listing.page import Page
from taskgate_server.tasks.listing.page_tokens import Cursor
from taskgate_server.tasks.names import NameTemplate, Parent, check_length
from taskgate_server.tasks.parent_state import ParentKind, ParentState
from taskgate_server.tasks.states import State
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.request import AwsRequest

TaskView: TypeAlias = "task_pb2.TaskView.ValueType"
Action: TypeAlias = "task_update_pb2.TaskAction.ValueType"

ToNative: TypeAlias = Callable[[Mapping[str, Any]], Message]
"""AWS's answer as the message of its own RPC; app.py gives the converter's."""


MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
"""Of parsed names of tasks, for each AWS service of each target."""
PARSED_BYTES: Final = 2500
"""The memory of a parsed name, beside the name twice, as measured."""

METHODS_FOR_ALL: Final = frozenset(
    {
        *("GetTask", "BatchGetTasks", "ListTasks", "SummarizeTasks"),
        *("WatchTasks", "WaitTask", "StreamTaskLogs"),
    }
)
"""The methods of TaskService that work on tasks of every AWS service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """What an AWS service lets callers do to its tasks."""

    operation: str
    """The AWS operation that does it; its other parameters are those in a task's name."""
    parameter: str
    """Its parameter that says what is to become of the task."""
    targets: Mapping[Action, str]
    """AWS's word for each action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoVerbs:
    """An AWS service that has nothing of the kind for single tasks."""

    alternative: str
    """The AWS operation that comes nearest."""


class TaskBackend(ABC):
    """The tasks of one AWS service; a subclass says what is particular to it."""

    names: ClassVar[NameTemplate]
    """The form of its task names; also names the AWS operation that gets one task."""

    summarized: ClassVar[tuple[str, ...]]
    """The kinds of parents that `summarize` takes."""

    parents: ClassVar[Mapping[str, ParentKind]]
    """How each kind of parent that can end reports its state."""

    root_kind: ClassVar[str]
    """The kind of parent with which all that it contains ends for good."""

    states: ClassVar[Mapping[str, State]]
    """AWS's words for a task's state, those that are known, and what they mean."""

    same: ClassVar[Mapping[str, str]]
    """Fields of Task that are a field of AWS's answer: ours to AWS's."""

    methods: ClassVar[frozenset[str]] = METHODS_FOR_ALL
    """The methods of TaskService that work on its tasks."""

    verbs: ClassVar[Verbs | NoVerbs]
    """What can be done to its tasks."""

    def __init__(self, gateway: Gateway, to_native: ToNative) -> None:
        self.gateway = gateway
        self._to_native = to_native
        self._cached: BoundedCache[str, AwsRequest] = BoundedCache(MAX_CACHE_BYTES)
        """The request to AWS for a task, by its name, which is parsed and checked once."""

    @property
    def gets_in_batches(self) -> bool:
        """Whether reading many tasks takes far fewer calls than there are tasks."""
        return self.names.operation in self.gateway.spec.batches

    async def ask(
        self, operation: str, params: Mapping[str, Any], options: CallOptions
    ) -> AwsResponse:
        """CallContext an operation, see `Gateway.call`."""
        return await self.gateway.call(operation, params, options)

    async def fetch_page(
        self,
        paged: PagedOperation,
        params: Mapping[str, Any],
        token: str,
        size: int,
        options: CallOptions,
    ) -> tuple[Rows, float]:
        """A page of an AWS list, and when AWS gave it, in seconds since 1970.

        Args:
            paged: the operation.
            params: what is listed.
            token: AWS's, empty for the first page.
            size: how many rows are wanted; AWS's limit holds.
            options: of the calls to AWS.
        """
        aws_response = await self.ask(
            paged.operation, {**params, **paged.params(token, size)}, options
        )
        return paged.read(aws_response.value), aws_response.observe_time

    async def get(self, name: str, call: CallContext) -> task_pb2.Task:
        """The task of that name.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for a malformed name, else as AWS answers.
        """
        aws_response = await self._answer(name, call)
        return self.task(name, aws_response.value, aws_response.observe_time)

    async def get_response(self, name: str, call: CallContext) -> bytes:
        """The same as a serialized GetTaskResponse, which is made once for all who share it."""
        aws_response = await self._answer(name, call)
        response = aws_response.forms.get(name)
        if response is None:
            task = self.task(name, aws_response.value, aws_response.observe_time)
            response = task_service_pb2.GetTaskResponse(task=task).SerializeToString()
            aws_response.forms[name] = response
        return response

    async def _answer(self, name: str, call: CallContext) -> AwsResponse:
        aws_request = self._cached.get(name)
        if aws_request is None:
            params = self.names.parse(name, "name")
            aws_request = self.gateway.aws_request(self.names.operation, params)
            self._cached.put(name, aws_request, PARSED_BYTES + 2 * len(name))
        aws_response = self.gateway.kept(aws_request, call.max_age)
        if aws_response is None:
            aws_response = await self.gateway.ask(aws_request, CallOptions.of(call))
        call.record.aws_request_id, call.record.aws_span = (
            aws_response.request_id,
            aws_response.span,
        )
        return aws_response

    async def get_many(
        self,
        names: Sequence[str],
        view: TaskView,  # noqa: ARG002  # where AWS has one operation only, it tells all
        options: CallOptions,
    ) -> list[task_pb2.Task | errors.TaskgateError]:
        """Many tasks, each one or the error that it alone has, in the order of the names.

        Args:
            names: of tasks of this AWS service, well-formed.
            view: how much to tell of each.
            options: of the calls to AWS.
        """
        return list(await asyncio.gather(*(self._outcome(name, options) for name in names)))

    @abstractmethod
    async def list_page(
        self,
        parent: Parent,
        cursor: Cursor,
        size: int,
        options: CallOptions,
        *,
        word: str | None = None,
    ) -> Page:
        """A page of a parent's tasks.

        Args:
            parent: of one of the kinds in `names`.
            cursor: where it begins; `skip` is the caller's business.
            size: how many tasks are wanted; there may be fewer or more.
            options: of the calls to AWS.
            word: AWS's word for the state that is wanted; where AWS can select, it need not tell
                of other tasks.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for a cursor that cannot be, else as AWS answers.
        """

    @abstractmethod
    async def summarize(
        self, parent: Parent, options: CallOptions
    ) -> task_service_pb2.SummarizeTasksResponse:
        """The tasks of a parent, counted.

        Args:
            parent: of one of the kinds in `summarized`.
            options: of the calls to AWS.

        Raises:
            errors.TaskgateError: as AWS answers.
        """

    def root(self, name: str) -> Parent:
        """Return the job or run that contains a task or a parent, or is that parent.

        Args:
            name: of the task or the parent, well-formed.
        """
        return self.names.parse_parent(self.names.parent_of(name, self.root_kind), "name")

    async def parent_state(self, parent: Parent, options: CallOptions) -> ParentState:
        """Return the state of a parent; that of the job, for a step whose job has ended for good.

        Args:
            parent: of one of the kinds in `parents`.
            options: of the calls to AWS.

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
        if state.ended or root.name == state.name:
            return state
        outer = await self._own_state(root, options)
        return outer if outer.final else state

    async def _own_state(self, parent: Parent, options: CallOptions) -> ParentState:
        kind = self.parents[parent.kind]
        aws_response = await self.ask(kind.operation, parent.params, options)
        return kind.read(parent.name, aws_response.value, aws_response.observe_time)

    def row_task(
        self, ids: Mapping[str, str], row: Mapping[str, Any], observe_time: float
    ) -> task_pb2.Task:
        """The task of a list's row.

        Args:
            ids: the AWS parameters of the name that are known without the row.
            row: has the rest of them.
            observe_time: when AWS gave the list, in seconds since 1970.

        Raises:
            errors.TaskgateError: UNKNOWN, the row does not fit the model.
        """
        values = {name: str(ids.get(name) or row.get(name) or "") for name in self.names.parameters}
        if not all(values.values()):
            raise errors.unreadable_response(self.names.operation)
        return self.task(self.names.format(values), row, observe_time)

    def lacks(self, paged: PagedOperation) -> frozenset[str]:
        """The native fields that a list's rows lack and the operation for one task tells."""
        service = model.load_service(self.names.service)
        shape = service.operation_model(self.names.operation).output_shape
        members = frozenset(shape.members) if shape else frozenset()
        return frozenset(naming.field_name(member) for member in members - paged.members)

    async def _outcome(
        self, name: str, options: CallOptions
    ) -> task_pb2.Task | errors.TaskgateError:
        try:
            params = self.names.parse(name, "name")
            aws_response = await self.ask(self.names.operation, params, options)
            return self.task(name, aws_response.value, aws_response.observe_time)
        except errors.TaskgateError as error:
            return error

    def task(
        self, name: str, aws_response: Mapping[str, Any], observe_time: float
    ) -> task_pb2.Task:
        """The task of that name, as AWS told it, alone or among others.

        Args:
            name: the task's name.
            aws_response: AWS's JSON, with the members that the operation for one task has.
            observe_time: when AWS gave the answer, in seconds since 1970.

        Raises:
            errors.TaskgateError: UNKNOWN, the answer does not fit the model.
        """
        task = self.to_task(aws_response, self._to_native(aws_response))
        task.name = name
        task.observe_time.CopyFrom(to_timestamp(observe_time))
        return task

    @abstractmethod
    def to_task(self, aws_response: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """All of Task that AWS's answer tells.

        Args:
            aws_response: as boto3 has it, with AWS's own enum words.
            native: the same as the message of AWS's own RPC.
        """


@dataclass(frozen=True, slots=True)
class Backends:
    """The backends of all AWS services, by the first segment of their task names."""

    by_service: Mapping[str, TaskBackend]
    target: str = DEFAULT_TARGET
    """The AWS account and region that they ask."""

    def of(self, name: str, field: str) -> TaskBackend:
        """The backend of a task's or a parent's name.

        Args:
            name: as the caller gave it.
            field: the request's field that the name came in.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT that shows the forms a task's name must have.
        """
        check_length(name, field)
        backend = self.by_service.get(name.partition("/")[0])
        if backend is None:
            forms = " or ".join(each.names.text for each in self.by_service.values())
            raise errors.invalid_request({field: f"must have the form {forms}"})
        return backend

    @property
    def scope(self) -> tuple[str, ...]:
        """What a token of theirs is bound to, beside its request: nothing for the default one."""
        return () if self.target == DEFAULT_TARGET else (self.target,)

    def parent(
        self, name: str, field: str, kinds: Container[str] | None = None
    ) -> tuple[TaskBackend, Parent]:
        """The backend of a parent's name, and what the name says.

        Args:
            name: as the caller gave it.
            field: the request's field that the name came in.
            kinds: those of `NameTemplate.parent_kinds` that will do; all if None.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT that shows the forms a parent's name must have.
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
    """The class `Tasks` of the module here that is named after the AWS service."""
    backend: type[TaskBackend] = import_module(f"taskgate_server.services.{spec.name}.tasks").Tasks
    return backend


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
