"""The methods of TaskService that change tasks: cancel, retry, suspend, and all of these for many.

What AWS can do is data of each backend (`TaskBackend.verbs`), so that a task of a service without
such verbs is refused before AWS is asked.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from grpc import StatusCode

from taskgate.v1 import task_pb2, task_update_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.errors import TaskgateError
from taskgate_server.status import to_status
from taskgate_server.tasks.backend import Action, Backends, NoVerbs, TaskBackend
from taskgate_server.telemetry import quotable
from taskgate_server.upstream.options import CallOptions

MAX_UPDATES: Final = 1000
MAX_REQUEST_ID: Final = 64
"""Characters, as many as AWS takes in a token."""
MAX_FAULTS: Final = 50

Touched: TypeAlias = Callable[[str], None]
"""Told the name of each task that may have changed, so that whoever watches it looks again."""


class UpdateRequest(Protocol):
    """What the requests for one task have in common."""

    @property
    def name(self) -> str:
        """The task's."""

    @property
    def request_id(self) -> str:
        """Makes it safe to send again; empty if the caller does not care."""

    @property
    def reason(self) -> str:
        """For the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What AWS is asked to do to one task."""

    name: str
    action: str
    """The word for it in the contract."""
    backend: TaskBackend
    operation: str
    params: dict[str, Any]


def _nobody(name: str) -> None:
    """Nobody watches."""


def _make_request_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Updates:
    """What serves them; a method here is named after the RPC."""

    backends: Backends
    touched: Touched = _nobody
    make_request_id: Callable[[], str] = _make_request_id

    async def cancel_task(
        self, request: task_update_pb2.CancelTaskRequest, call: CallContext
    ) -> task_update_pb2.CancelTaskResponse:
        """TaskService.CancelTask."""
        task = await self._update(request, task_update_pb2.TASK_ACTION_CANCEL, call)
        return task_update_pb2.CancelTaskResponse(task=task)

    async def retry_task(
        self, request: task_update_pb2.RetryTaskRequest, call: CallContext
    ) -> task_update_pb2.RetryTaskResponse:
        """TaskService.RetryTask."""
        task = await self._update(request, task_update_pb2.TASK_ACTION_RETRY, call)
        return task_update_pb2.RetryTaskResponse(task=task)

    async def suspend_task(
        self, request: task_update_pb2.SuspendTaskRequest, call: CallContext
    ) -> task_update_pb2.SuspendTaskResponse:
        """TaskService.SuspendTask."""
        task = await self._update(request, task_update_pb2.TASK_ACTION_SUSPEND, call)
        return task_update_pb2.SuspendTaskResponse(task=task)

    async def batch_update_tasks(
        self, request: task_update_pb2.BatchUpdateTasksRequest, call: CallContext
    ) -> task_update_pb2.BatchUpdateTasksResponse:
        """TaskService.BatchUpdateTasks."""
        _check_batch(request)
        request_id = request.request_id or self.make_request_id()
        planned = [self._plan_or_error(update.name, update.action) for update in request.updates]
        outcomes: dict[str, TaskgateError | None] = {
            update.name: plan
            for update, plan in zip(request.updates, planned, strict=True)
            if isinstance(plan, TaskgateError)
        }
        updates = [plan for plan in planned if isinstance(plan, Update)]
        if updates:
            _note(updates, request_id, request.reason, call)
        for backend, group in _by_backend(updates):
            outcomes |= await self._write(backend, group, request_id, call)
        call.record.audit["failed_count"] = sum(error is not None for error in outcomes.values())
        return task_update_pb2.BatchUpdateTasksResponse(
            results=[
                _result(update.name, outcomes[update.name], call) for update in request.updates
            ]
        )

    async def _update(
        self, request: UpdateRequest, action: Action, call: CallContext
    ) -> task_pb2.Task:
        """Does it, and reads what became of the task."""
        update = self._plan(request.name, action, request.request_id)
        request_id = request.request_id or self.make_request_id()
        _note([update], request_id, request.reason, call)
        outcomes = await self._write(update.backend, [update], request_id, call)
        error = outcomes[update.name]
        if error is not None:
            raise error
        return await update.backend.get(update.name, call._replace(max_age=0.0))

    async def _write(
        self, backend: TaskBackend, updates: Sequence[Update], request_id: str, call: CallContext
    ) -> dict[str, TaskgateError | None]:
        """The outcome of each by its task's name; all are of one backend."""
        try:
            outcomes = await backend.gateway.write_many(
                updates[0].operation,
                [update.params for update in updates],
                token=request_id,
                options=CallOptions.of(call),
            )
        finally:  # also when nobody waits for the answer: AWS may have done it
            for update in updates:
                self.touched(update.name)
        names = [update.name for update in updates]
        return dict(zip(names, outcomes, strict=True))

    def _plan_or_error(self, name: str, action: Action) -> Update | TaskgateError:
        try:
            return self._plan(name, action)
        except TaskgateError as error:
            return error

    def _plan(self, name: str, action: Action, request_id: str = "") -> Update:
        """What to ask AWS.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT, or FAILED_PRECONDITION where AWS has no such
                verb.
        """
        backend = self.backends.of(name, "name")
        params: dict[str, Any] = backend.names.parse(name, "name")
        _check_request_id(request_id)
        verbs = backend.verbs
        if isinstance(verbs, NoVerbs):
            raise _no_such_verb(backend, verbs)
        target = verbs.targets.get(action)
        if target is None:
            words = ", ".join(task_update_pb2.TaskAction.Name(each) for each in verbs.targets)
            raise errors.invalid_request({"action": f"must be one of {words}"})
        params[verbs.parameter] = target
        return Update(
            name=name,
            action=task_update_pb2.TaskAction.Name(action),
            backend=backend,
            operation=verbs.operation,
            params=params,
        )


def _note(updates: Sequence[Update], request_id: str, reason: str, call: CallContext) -> None:
    """Who is asked to do what, and why, for the audit."""
    call.record.audit |= {
        "request_id": request_id[:MAX_REQUEST_ID],
        "reason": quotable(reason),
        "actions": Counter(update.action for update in updates),
    }


def _check_request_id(request_id: str) -> None:
    if len(request_id) > MAX_REQUEST_ID:
        told = f"must have 1 to {MAX_REQUEST_ID} characters"
        raise errors.invalid_request({"request_id": told})


def _check_batch(request: task_update_pb2.BatchUpdateTasksRequest) -> None:
    """The faults of the request as a whole; those of one update are told in its place.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    _check_request_id(request.request_id)
    if not 1 <= len(request.updates) <= MAX_UPDATES:
        raise errors.invalid_request({"updates": f"must have 1 to {MAX_UPDATES} entries"})
    first: dict[str, int] = {}
    faults: dict[str, str] = {}
    for index, update in enumerate(request.updates):
        if len(faults) < MAX_FAULTS and first.setdefault(update.name, index) != index:
            faults[f"updates[{index}].name"] = f"is that of updates[{first[update.name]}], too"
    if faults:
        raise errors.invalid_request(faults)


def _by_backend(updates: Sequence[Update]) -> list[tuple[TaskBackend, list[Update]]]:
    groups: dict[str, list[Update]] = {}
    for update in updates:
        groups.setdefault(update.backend.gateway.spec.name, []).append(update)
    return [(group[0].backend, group) for group in groups.values()]


def _result(
    name: str, error: TaskgateError | None, call: CallContext
) -> task_update_pb2.TaskUpdateResult:
    told = to_status(error, call.call_id) if error is not None else None
    return task_update_pb2.TaskUpdateResult(name=name, error=told)


def _no_such_verb(backend: TaskBackend, verbs: NoVerbs) -> TaskgateError:
    spec = backend.gateway.spec
    return TaskgateError(
        code=StatusCode.FAILED_PRECONDITION,
        message=f"{spec.title} can do this to no single task:"
        f" call {spec.grpc_service_full_name}/{verbs.alternative} for all of its run",
        reason="VERB_NOT_IN_SERVICE",
        metadata={"service": spec.name, "alternative": verbs.alternative},
    )
