"""The responses of the demo satisfy the models."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core import parsing
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.responses import compile_response
from taskgate_emulator.core.state import Account
from taskgate_emulator.core.validation import Violation
from taskgate_emulator.deadline import behaviour as deadline
from taskgate_emulator.deadline.sessions import SESSION_ACTION
from taskgate_emulator.omics import behaviour as omics
from taskgate_emulator.seeds import ids as seed
from taskgate_server.aws.model import StructureShape, load_service

REGISTRIES = {"deadline": deadline.OPERATIONS, "omics": omics.OPERATIONS}
ABSENT = {
    "GetBatch",
    "ListRunsInBatch",
    "GetStorageProfileForQueue",
    "GetReadSet",
    "GetReadSetMetadata",
    "ListReadSets",
    "GetReference",
    "GetReferenceMetadata",
    "ListReferences",
}
"""The demo has none of these; the tests of batches, queues and waiters read them."""
GENERIC: dict[str, set[str]] = {
    "deadline": {"GetFarm", "ListFarms", "GetQueue", "ListQueues", "BatchGetTask"},
    "omics": {"GetWorkflow"},
}
"""Plain resources of the demo, whose behaviour is derived from the model."""
READS = [
    pytest.param(service, name, id=name)
    for service, operations in REGISTRIES.items()
    for name in sorted(operations.names | GENERIC[service])
    if name.startswith(("Get", "List", "BatchGet")) and name not in ABSENT
]


def params_for(service: str, operation: str, account: Account) -> list[dict[str, Any]]:
    """Return the params of one call for each resource of the demo that the operation can read."""
    if service == "omics":
        everything = [
            {"id": run, "taskId": task}
            for run, task in account.table(omics.RUN_TASK)
            if task != seed.LATER_TASK_ID
        ]
        if operation == "GetWorkflow":
            everything = [{"id": seed.WORKFLOW_ID}]
    else:
        names = ("farmId", "queueId", "jobId", "stepId", "taskId")
        everything = [dict(zip(names, key, strict=True)) for key in account.table("deadline.Task")]
    if operation == "ListSessionsForWorker":
        worker = ("farmId", "fleetId", "workerId")
        return [dict(zip(worker, key, strict=True)) for key in account.table("deadline.Worker")]
    if operation == "BatchGetTask":
        return [{"identifiers": everything}]
    shape = load_service(service).operation_model(operation).input_shape
    known = set(shape.members) if shape else set()
    cut = [{name: ids[name] for name in ids if name in known} for ids in everything]
    return [params for position, params in enumerate(cut) if params not in cut[:position]]


@pytest.mark.parametrize("seconds", [0, 65, 130, 400])
@pytest.mark.parametrize(("service", "operation"), READS)
def test_every_response_satisfies_the_model(service: str, operation: str, seconds: float) -> None:
    clock = ManualClock()
    emulator = Emulator(clock=clock)
    account = emulator.edit(lambda state: state)
    model = load_service(service).operation_model(operation)
    _, behave = emulator._registry.dispatcher._find_behaviour(model)
    assert behave is not None
    clock.advance(seconds)
    account.settle()
    read = parsing._Compiler().reader(model.output_shape)  # type: ignore[arg-type]  # all reads have one
    for params in params_for(service, operation, account):
        response = behave(Call(account=account, operation=model, params=params, now=clock()))
        violations: list[Violation] = []
        read(parsing._json_object(compile_response(model)(response).body), "response", violations)
        assert violations == []


def is_read(service: str, noun: str) -> bool:
    """Return whether AWS has a kind; the others are internal to the emulator."""
    return f"Get{noun}" in load_service(service).operation_names


def test_records_have_only_members_of_responses() -> None:
    account = Emulator(clock=ManualClock()).edit(lambda state: state)
    kinds = [kind for kind in account._tables if is_read(*kind.split("."))]
    assert len(kinds) >= 12
    for kind in kinds:
        service, noun = kind.split(".")
        allowed = members(service, f"Get{noun}Response")
        if kind == omics.RUN:
            allowed |= members(service, "RunListItem")
        if kind == SESSION_ACTION:
            allowed |= members(service, "ListSessionActionsRequest")  # what it is found by
        table = account.table(kind)
        for key in table:
            timeline = table.timeline(key)
            assert timeline is not None
            known = set(timeline.record).union(*(change.members for change in timeline.changes))
            # Members with an underscore are internal and not in responses.
            assert {name for name in known if not name.startswith("_")} <= allowed


def test_demo_settles(deadline: Any, omics: Any, job: dict[str, str], clock: ManualClock) -> None:
    clock.advance(300)
    counts = deadline.get_job(**job)["taskRunStatusCounts"]
    resting = {"PENDING", "SUSPENDED", "CANCELED", "FAILED", "SUCCEEDED"}
    assert {status for status, count in counts.items() if count} == resting
    runs = omics.list_runs()["items"]
    assert {run["status"] for run in runs} == {"COMPLETED"}


def test_every_emulated_operation_is_one_of_boto3(deadline: Any, omics: Any) -> None:
    for client, service in ((deadline, "deadline"), (omics, "omics")):
        for name in REGISTRIES[service].names:
            assert callable(getattr(client, xform_name(name)))


def members(service: str, shape_name: str) -> set[str]:
    shape = load_service(service).shape_for(shape_name)
    assert isinstance(shape, StructureShape)
    return set(shape.members)
