"""Generate the IAM policies of the chart's access modes: deploy/iam/<mode>-<service>.json.

The role of the server may do what the Cedar policy of the mode permits callers to do
(deploy/helm/taskgate/files/access), and no more. Users replace REGION, ACCOUNT, QUEUE and ROLE.

`iam_resources.json` lists the resources that each action can be restricted to, as the first
segments of their ARNs. The facts are from AWS's service authorization reference (list_deadline.html
and list_omics.html, as of April 2026). An action without resources can only be allowed on `*`; the
same holds for one that the reference does not list yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from taskgate.v1 import task_service_pb2
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.authentication import Caller
from taskgate_server.auth.identifiers import identifiers_of
from taskgate_server.auth.policy import UNIFIED_SERVICE, Policy
from taskgate_server.auth.resources import ROLE
from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.services.supporting import LOGS, SQS
from taskgate_server.tasks.backend import METHODS, load_backend

MODES = Path("deploy/helm/taskgate/files/access")
FOLDER = Path("deploy/iam")

ANY_CALLER = Caller("User", "anyone")
EVENTS = ("DeleteMessage", "ReceiveMessage")
"""See docs/events.md. DeleteMessage also permits DeleteMessageBatch."""

RESOURCES = Path(__file__).with_name("iam_resources.json")

SHARED = {("omics", "workflow"): "*"}
"""Resources in other accounts that callers use: workflows of AWS (Ready2Run), and shared ones.
https://docs.aws.amazon.com/omics/latest/dev/cross-account-sharing.html"""

Statement = dict[str, Any]


def generate(root: Path) -> dict[Path, str]:
    """Return the content of all files by path."""
    files = {
        root / FOLDER / f"{path.stem}-{spec.name}.json": _policy(_statements(spec, path))
        for path in sorted((root / MODES).glob("*.cedar"))
        for spec in SERVICES
    }
    queue = [f"arn:aws:{SQS.name}:REGION:ACCOUNT:QUEUE"]
    events = _statement("Events", [f"{SQS.name}:{name}" for name in EVENTS], queue)
    return files | {root / FOLDER / "events.json": _policy([events])}


def _statements(spec: ServiceSpec, path: Path) -> Iterator[Statement]:
    service = model.load_service(spec.name)
    unified, typed = _allowed(spec, Policy([(path.name, path.read_text())]))
    operations = {_with_an_action(service, name) for name in typed | _behind(spec, unified)}
    yield from _on_resources(spec, operations)
    if any(_passes_role(spec, name) for name in operations):
        to = {"StringEquals": {"iam:PassedToService": spec.error_domain}}
        role = ["arn:aws:iam::ACCOUNT:role/ROLE"]
        yield _statement("PassRole", ["iam:PassRole"], role) | {"Condition": to}
    if "StreamTaskLogs" in unified:
        groups = [
            f"arn:aws:{LOGS.name}:REGION:ACCOUNT:log-group:{each}" for each in spec.log_groups
        ]
        yield _statement("Logs", _actions(LOGS, set(LOGS.request_rates)), groups)


def _on_resources(spec: ServiceSpec, operations: set[str]) -> Iterator[Statement]:
    """Yield the statements for the actions of the service, on its resources and on `*`."""
    words = load_resource_words()[spec.name]
    restricted = {name for name in operations if words.get(name)}
    arns = {_arn_pattern(spec, word) for name in restricted for word in words[name]}
    title = spec.name.capitalize()
    yield _statement(title, _actions(spec, restricted), sorted(arns))
    here = {"StringEquals": {"aws:RequestedRegion": "REGION"}}
    unrestricted = _actions(spec, operations - restricted)
    yield _statement(f"{title}WithoutResources", unrestricted, ["*"]) | {"Condition": here}


def _arn_pattern(spec: ServiceSpec, word: str) -> str:
    account = SHARED.get((spec.name, word), "ACCOUNT")
    return f"arn:aws:{spec.name}:REGION:{account}:{word}/*"


@cache
def load_resource_words() -> dict[str, dict[str, list[str]]]:
    """Return the first segments of the ARNs of each action, by service and action."""
    found: dict[str, dict[str, list[str]]] = json.loads(RESOURCES.read_text())
    return found


def _allowed(spec: ServiceSpec, policy: Policy) -> tuple[set[str], set[str]]:
    """Return the unified RPCs and the operations of the service that the policy allows."""
    tasks = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
    operations = model.load_service(spec.name).operation_names

    def allowed(service: str, names: list[str]) -> set[str]:
        path = (("AwsService", spec.name),)
        return {
            name
            for name in names
            if policy.allows(ANY_CALLER, action_of(f"{service}/{name}"), path)
        }

    return (
        allowed(UNIFIED_SERVICE, [method.name for method in tasks.methods]),
        allowed(spec.grpc_service_full_name, list(operations)),
    )


def _behind(spec: ServiceSpec, unified: set[str]) -> set[str]:
    """Return the operations that the unified RPCs call to update tasks.

    The operations that they call to read are allowed in every mode.
    """
    changes = load_backend(spec).changes
    is_batch = "BatchUpdateTasks" in unified
    return {
        change.operation
        for action, change in changes.items()
        if is_batch or METHODS[action] in unified
    }


def _with_an_action(service: model.ServiceModel, name: str) -> str:
    """Return the action of an operation: GetTask for BatchGetTask, which has no action.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_deadline.html
    """
    single = name.removeprefix("Batch")
    return single if single in service.operation_names else name


def _passes_role(spec: ServiceSpec, name: str) -> bool:
    """Return whether a request can name a role that AWS assumes, at any depth."""
    identified = identifiers_of(spec.name).identified_in(name)
    return any(each.type == ROLE for _, each in identified)


def _actions(spec: ServiceSpec, operations: set[str]) -> list[str]:
    return sorted(f"{spec.name}:{name}" for name in operations)


def _statement(sid: str, actions: list[str], resources: list[str]) -> Statement:
    resource = resources[0] if len(resources) == 1 else resources
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _policy(statements: Iterable[Statement]) -> str:
    kept = [statement for statement in statements if statement["Action"]]
    return json.dumps({"Version": "2012-10-17", "Statement": kept}, indent=2) + "\n"
