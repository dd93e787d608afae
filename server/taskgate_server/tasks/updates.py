"""The methods of TaskService that change tasks: cancel, retry and suspend, one task or many.

`TaskBackend.changes` defines what an AWS service can do, so that other requests are refused without
a call to AWS.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.errors import OwnError, Reason, TaskgateError
from taskgate_server.status import to_status
from taskgate_server.tasks.backend import METHODS, Action, Backends, TaskBackend
from taskgate_server.telemetry.logs import quotable
from taskgate_server.upstream.options import CallOptions

MAX_UPDATES: Final = 1000
MAX_REQUEST_ID_CHARACTERS: Final = 64
"""AWS's limit for idempotency tokens."""
MAX_FAULTS: Final = 50

OnUpdated: TypeAlias = Callable[[str], None]
"""Called with the name of each task that may have changed, so that pollers read it at once."""

UpdateRequest: TypeAlias = (
    task_update_pb2.CancelTaskRequest
    | task_update_pb2.RetryTaskRequest
    | task_update_pb2.SuspendTaskRequest
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An AWS call that changes one task."""

    name: str
    action: str
    """The name of the action in the contract."""
    backend: TaskBackend
    operation: str
    params: dict[str, Any]


def _make_request_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Updates:
    """Serves these methods; each method here has the name of its RPC."""

    backends: Backends
    on_updated: OnUpdated
    make_request_id: Callable[[], str] = _make_request_id

    async def cancel_task(
        self, request: task_update_pb2.CancelTaskRequest, call: CallContext
    ) -> task_update_pb2.CancelTaskResponse:
        """Return the response of CancelTask."""
        task = await self._update(request, task_update_pb2.TASK_ACTION_CANCEL, call)
        return task_update_pb2.CancelTaskResponse(task=task)

    async def retry_task(
        self, request: task_update_pb2.RetryTaskRequest, call: CallContext
    ) -> task_update_pb2.RetryTaskResponse:
        """Return the response of RetryTask."""
        task = await self._update(request, task_update_pb2.TASK_ACTION_RETRY, call)
        return task_update_pb2.RetryTaskResponse(task=task)

    async def suspend_task(
        self, request: task_update_pb2.SuspendTaskRequest, call: CallContext
    ) -> task_update_pb2.SuspendTaskResponse:
        """Return the response of SuspendTask."""
        task = await self._update(request, task_update_pb2.TASK_ACTION_SUSPEND, call)
        return task_update_pb2.SuspendTaskResponse(task=task)

    async def batch_update_tasks(
        self, request: task_update_pb2.BatchUpdateTasksRequest, call: CallContext
    ) -> task_update_pb2.BatchUpdateTasksResponse:
        """Return the response of BatchUpdateTasks."""
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
            _audit(updates, request_id, request.reason, call)
        for group in _by_operation(updates):
            outcomes |= await self._write(group, request_id, call)
        call.record.audit["failed_count"] = sum(error is not None for error in outcomes.values())
        return task_update_pb2.BatchUpdateTasksResponse(
            results=[
                _result(update.name, outcomes[update.name], call) for update in request.updates
            ]
        )

    async def _update(
        self, request: UpdateRequest, action: Action, call: CallContext
    ) -> task_pb2.Task:
        """Change a task, and return it as it is afterwards."""
        update = self._plan(request.name, action, request.request_id)
        request_id = request.request_id or self.make_request_id()
        _audit([update], request_id, request.reason, call)
        outcomes = await self._write([update], request_id, call)
        error = outcomes[update.name]
        if error is not None:
            raise error
        response = await update.backend.get_response(
            update.name, task_pb2.TASK_VIEW_FULL, call._replace(max_age=0.0)
        )
        return task_service_pb2.GetTaskResponse.FromString(response).task

    async def _write(
        self, updates: Sequence[Update], request_id: str, call: CallContext
    ) -> dict[str, TaskgateError | None]:
        """Return the outcome of each update, all of one operation, by the name of its task."""
        backend, refused = updates[0].backend, dict[str, TaskgateError | None]()
        if backend.ids_are_global:
            refused = await _missing(backend, [update.name for update in updates], call)
            updates = [update for update in updates if update.name not in refused]
        if not updates:
            return refused
        try:
            outcomes = await backend.gateway.write_many(
                updates[0].operation,
                [update.params for update in updates],
                token=request_id,
                options=CallOptions.of(call),
            )
        finally:  # also if the caller no longer waits: AWS may have changed the task
            for update in updates:
                self.on_updated(update.name)
        names = [update.name for update in updates]
        return refused | dict(zip(names, outcomes, strict=True))

    def _plan_or_error(self, name: str, action: Action) -> Update | TaskgateError:
        try:
            return self._plan(name, action)
        except TaskgateError as error:
            return error

    def _plan(self, name: str, action: Action, request_id: str = "") -> Update:
        """Return the AWS call for an action.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT; or FAILED_PRECONDITION, the AWS service cannot
                change single tasks.
        """
        backend = self.backends.of(name, "name")
        ids = backend.names.parse(name, "name")
        _check_request_id(request_id)
        if action not in METHODS:
            known = ", ".join(task_update_pb2.TaskAction.Name(each) for each in METHODS)
            raise errors.invalid_request({"action": f"must be one of {known}"})
        change = backend.changes.get(action)
        if change is None:
            raise _unsupported(backend, action)
        return Update(
            name=name,
            action=task_update_pb2.TaskAction.Name(action),
            backend=backend,
            operation=change.operation,
            params={**backend.write_params(ids), **change.params},
        )


async def _missing(
    backend: TaskBackend, names: Sequence[str], call: CallContext
) -> dict[str, TaskgateError | None]:
    """Return the error of each task that cannot be read, or is not in the parents in its name."""
    found = await backend.get_many(names, task_pb2.TASK_VIEW_BASIC, CallOptions.of(call))
    return {
        name: outcome
        for name, outcome in zip(names, found, strict=True)
        if isinstance(outcome, TaskgateError)
    }


def _audit(updates: Sequence[Update], request_id: str, reason: str, call: CallContext) -> None:
    """Add the updates to the call's line in the audit log."""
    call.record.audit |= {
        "request_id": request_id[:MAX_REQUEST_ID_CHARACTERS],
        "reason": quotable(reason),
        "actions": Counter(update.action for update in updates),
    }


def _check_request_id(request_id: str) -> None:
    if len(request_id) > MAX_REQUEST_ID_CHARACTERS:
        fault = f"must have 1 to {MAX_REQUEST_ID_CHARACTERS} characters"
        raise errors.invalid_request({"request_id": fault})


def _check_batch(request: task_update_pb2.BatchUpdateTasksRequest) -> None:
    """Check the request as a whole. The faults of a single update are reported in its result.

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
            faults[f"updates[{index}].name"] = f"is the same as updates[{first[update.name]}].name"
    if faults:
        raise errors.invalid_request(faults)


def _by_operation(updates: Sequence[Update]) -> list[list[Update]]:
    """Return the updates in groups of one AWS service and operation."""
    groups: dict[tuple[str, str], list[Update]] = {}
    for update in updates:
        groups.setdefault((update.backend.gateway.spec.name, update.operation), []).append(update)
    return list(groups.values())


def _result(
    name: str, error: TaskgateError | None, call: CallContext
) -> task_update_pb2.TaskUpdateResult:
    status = to_status(error, call.call_id) if error is not None else None
    return task_update_pb2.TaskUpdateResult(name=name, error=status)


def _unsupported(backend: TaskBackend, action: Action) -> TaskgateError:
    spec = backend.gateway.spec
    verb = METHODS[action].removesuffix("Task").lower()
    fault = f"{spec.title} cannot {verb} a single task"
    metadata = {"service": spec.name}
    if backend.alternative:
        whole = backend.root_kind.removesuffix("s")
        fault += f"; use {spec.grpc_service_full_name}/{backend.alternative} for the whole {whole}"
        metadata["alternative"] = backend.alternative
    return OwnError(Reason.VERB_NOT_IN_SERVICE, fault, metadata=metadata)
