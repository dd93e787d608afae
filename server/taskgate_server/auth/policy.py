"""The policy, in Cedar (https://docs.cedarpolicy.com): who may do what on which resource.

    principal   `User`, `Service`, `Certificate` (in `Group`s, with `id`) or `Anonymous`
    action      one for each RPC, in `Action::"read"`, `"write"`, `"delete"` or `"credentials"`
    resource    see `resources`
    context     `target`, the AWS account and region that the call is for

What no policy permits is denied. A `permit` for all actions leaves out deletions and what hands out
AWS credentials, and the use of other targets than the default one: those must be named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import cedarpy

from taskgate_server.auth.actions import SPECS, USE_TARGET, Action, Group, action_of
from taskgate_server.auth.authentication import Caller
from taskgate_server.auth.policy_compiler import compile_policies
from taskgate_server.auth.resources import TARGET, Path, named_path, parents, types_named
from taskgate_server.aws import model
from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.telemetry import log_bug

PRINCIPALS = ("User", "Service", "Certificate", "Anonymous")
TRIAL_ACTIONS = (
    "taskgate.v1.TaskService/GetTask",
    "taskgate.v1.TaskService/RetryTask",
    "taskgate.deadline.v1.DeadlineService/DeleteQueue",
    "taskgate.deadline.v1.DeadlineService/AssumeQueueRoleForUser",
)
TRIAL_RESOURCE = "deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t"
UNIFIED_SERVICE = "taskgate.v1.TaskService"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class Policy:
    """Policies that fit the contract.

    Args:
        texts: Cedar, each with where it comes from.

    Raises:
        reloading.RejectedError: the policies cannot be used; the text says where and why.
        OSError: the process that parses them cannot be started.
    """

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        compiled = compile_policies(list(texts), schema(), _trials())
        self._all = cedarpy.PolicySet.from_json_str(compiled.all)
        self._named = cedarpy.PolicySet.from_json_str(compiled.named)
        whole = json.loads(compiled.all)
        self.policies: Sequence[Mapping[str, Any]] = list(whole["staticPolicies"].values())
        """In Cedar's JSON format."""

    def allows(
        self, caller: Caller, action: Action, path: Path, target: str = DEFAULT_TARGET
    ) -> bool:
        """Return whether the caller may; whatever Cedar cannot decide is denied."""
        policies = self._named if action.must_be_named else self._all
        request, entities = _question(caller, action, path, target)
        try:
            result = cedarpy.is_authorized(request, policies, entities)
        except ValueError:  # what a caller can write and Cedar not read, such as half a character
            return False
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # pyo3's PanicException is no Exception
            log_bug(error, action=action.name)
            return False
        # Cedar skips a policy that it cannot evaluate, and so would leave out a `forbid`.
        return bool(result.allowed) and not result.diagnostics.errors


def _question(
    caller: Caller, action: Action, path: Path, target: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the request and the entities of one decision, as Cedar takes them."""
    request = {
        "principal": _uid(caller.kind, caller.id),
        "action": _uid("Action", action.name),
        "resource": _uid(*path[-1]),
        "context": {"target": target},
    }
    return request, _entities(caller, action, path)


def _trials() -> list[dict[str, Any]]:
    """Return decisions to try a policy with: one for each principal type and group of actions."""
    trials, path = [], named_path(TRIAL_RESOURCE)
    for action in TRIAL_ACTIONS:
        for kind in PRINCIPALS:
            caller = Caller(kind, "trial", ("trial",))
            request, entities = _question(caller, action_of(action), path, DEFAULT_TARGET)
            trials.append({"request": request, "entities": entities})
    return trials


@cache
def schema() -> str:
    """Return Cedar's schema as JSON: all that a policy may name. It finds typing errors."""
    person = {"type": "Record", "attributes": {"id": {"type": "String"}}}
    types: dict[str, Any] = {
        kind: {"memberOfTypes": sorted(each)} for kind, each in parents().items()
    }
    types["Group"] = {}
    for kind in PRINCIPALS:
        types[kind] = {"shape": person, "memberOfTypes": ["Group"]}
    context = {"type": "Record", "attributes": {"target": {"type": "String"}}}
    actions: dict[str, Any] = {group: {} for group in get_args(Group)}
    for action, resources in _actions():
        # No more types than there can be: Cedar checks each policy for each of them.
        applies = {"principalTypes": list(PRINCIPALS), "resourceTypes": sorted(resources)}
        actions[action.name] = {
            "memberOf": [{"id": action.group}],
            "appliesTo": applies | {"context": context},
        }
    return json.dumps({"": {"entityTypes": types, "actions": actions}})


def _actions() -> list[tuple[Action, frozenset[str]]]:
    """Every action, and the types of resource that it can be about."""
    from taskgate.v1 import task_service_pb2  # noqa: PLC0415  # contracts take 0.1 s

    unified = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].methods
    methods = [f"{UNIFIED_SERVICE}/{method.name}" for method in unified]
    for full_name, spec in SPECS.items():
        names = model.load_service(spec.name).operation_names
        methods += [f"{full_name}/{name}" for name in names]
    return [
        (USE_TARGET, frozenset({TARGET})),
        *((action_of(method), types_named(method)) for method in [*methods, REFLECTION]),
    ]


def find_action(name: str) -> Action | None:
    """The action of that name, such as `deadline/GetJob`."""
    return next((action for action, _ in _actions() if action.name == name), None)


def _uid(kind: str, key: str) -> dict[str, str]:
    return {"type": kind, "id": key}


def _entities(caller: Caller, action: Action, path: Path) -> list[dict[str, Any]]:
    """All that Cedar has to know of for one decision."""
    groups = [_uid("Group", group) for group in caller.groups]
    return [
        _entity(_uid(caller.kind, caller.id), groups, {"id": caller.id}),
        _entity(_uid("Action", action.name), [_uid("Action", action.group)]),
        *(
            _entity(_uid(*step), [_uid(*path[index - 1])] if index else [])
            for index, step in enumerate(path)
        ),
    ]


def _entity(
    uid: Mapping[str, str],
    within: Sequence[Mapping[str, str]],
    attributes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {"uid": uid, "attrs": attributes or {}, "parents": within}
