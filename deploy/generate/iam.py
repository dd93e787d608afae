"""The AWS policies of the chart's modes: deploy/iam/<mode>-<service>.json and events.json.

What a mode allows is what its Cedar policy lets a caller do (deploy/helm/taskgate/files/access), so
the server's role may do that and no more. Names of operations are AWS's model's; REGION, ACCOUNT,
QUEUE and ROLE are to be replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from taskgate.v1 import task_service_pb2
from taskgate_server.aws import model
from taskgate_server.aws.services import LOGS, SERVICES, SQS, ServiceSpec
from taskgate_server.guard.actions import action_of
from taskgate_server.guard.callers import Caller
from taskgate_server.guard.policy import UNIFIED_SERVICE, Policy
from taskgate_server.tasks.backend import TaskBackend, Verbs

MODES = Path("deploy/helm/taskgate/files/access")
FOLDER = Path("deploy/iam")

SOMEBODY = Caller("User", "somebody")
ROLE_MEMBER = "roleArn"
EVENTS = ("DeleteMessage", "ReceiveMessage")
"""docs/events.md; the former is the leave for DeleteMessageBatch, too."""

Statement = dict[str, Any]


def generate(root: Path) -> dict[Path, str]:
    """All files, by their place."""
    files = {
        root / FOLDER / f"{path.stem}-{spec.name}.json": _policy(_statements(spec, path))
        for path in sorted((root / MODES).glob("*.cedar"))
        for spec in SERVICES
    }
    queue = f"arn:aws:{SQS.name}:REGION:ACCOUNT:QUEUE"
    events = _statement("Events", [f"{SQS.name}:{name}" for name in EVENTS], queue)
    return files | {root / FOLDER / "events.json": _policy([events])}


def _statements(spec: ServiceSpec, path: Path) -> Iterator[Statement]:
    service = model.load_service(spec.name)
    unified, typed = _allowed(spec, Policy([(path.name, path.read_text())]))
    operations = {_with_an_action(service, name) for name in typed | _behind(spec, unified)}
    # Some actions have no resource, and are allowed on "*" or not at all; no model tells which.
    here = {"StringEquals": {"aws:RequestedRegion": "REGION"}}
    yield _statement(spec.name.capitalize(), _actions(spec, operations), "*") | {"Condition": here}
    if any(_has(service, name, ROLE_MEMBER) for name in operations):
        to = {"StringEquals": {"iam:PassedToService": spec.error_domain}}
        role = "arn:aws:iam::ACCOUNT:role/ROLE"
        yield _statement("PassRole", ["iam:PassRole"], role) | {"Condition": to}
    if "StreamTaskLogs" in unified:
        group = f"arn:aws:{LOGS.name}:REGION:ACCOUNT:log-group:/aws/{spec.name}/*"
        yield _statement("Logs", _actions(LOGS, set(LOGS.request_rates)), group)


def _allowed(spec: ServiceSpec, policy: Policy) -> tuple[set[str], set[str]]:
    """The unified RPCs that the policy allows, and the operations of the service."""
    tasks = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
    operations = model.load_service(spec.name).operation_names

    def allowed(service: str, names: list[str]) -> set[str]:
        path = (("AwsService", spec.name),)
        return {
            name for name in names if policy.allows(SOMEBODY, action_of(f"{service}/{name}"), path)
        }

    return (
        allowed(UNIFIED_SERVICE, [method.name for method in tasks.methods]),
        allowed(spec.grpc_service_full_name, list(operations)),
    )


def _behind(spec: ServiceSpec, unified: set[str]) -> set[str]:
    """The operation that cancels, retries or suspends a task, where the unified RPCs may.

    Their reads make calls that every mode allows to callers themselves.
    """
    tasks: type[TaskBackend] = import_module(f"taskgate_server.tasks.{spec.name}").Tasks
    writes = {name for name in tasks.methods & unified if _writes(name)}
    return {tasks.verbs.operation} if writes and isinstance(tasks.verbs, Verbs) else set()


def _writes(unified: str) -> bool:
    return action_of(f"{UNIFIED_SERVICE}/{unified}").group == "write"


def _with_an_action(service: model.ServiceModel, name: str) -> str:
    """GetTask for BatchGetTask; a batch of what there is no single operation for is an action.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_deadline.html
    """
    single = name.removeprefix("Batch")
    return single if single in service.operation_names else name


def _has(service: model.ServiceModel, name: str, member: str) -> bool:
    shape = service.operation_model(name).input_shape
    return shape is not None and member in shape.members


def _actions(spec: ServiceSpec, operations: set[str]) -> list[str]:
    return sorted(f"{spec.name}:{name}" for name in operations)


def _statement(sid: str, actions: list[str], resource: str) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _policy(statements: Iterable[Statement]) -> str:
    kept = [statement for statement in statements if statement["Action"]]
    return json.dumps({"Version": "2012-10-17", "Statement": kept}, indent=2) + "\n"
