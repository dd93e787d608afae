"""The policy, in Cedar (https://docs.cedarpolicy.com): who may do what on which resource.

    principal   `User`, `Service` (both in `Group`s, with `id`) or `Anonymous`
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

from taskgate_server.aws import model
from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.guard.actions import SPECS, USE_TARGET, Action, Group, action_of
from taskgate_server.guard.callers import Caller
from taskgate_server.guard.resources import TARGET, Path, parents, types_named

PRINCIPALS = ("User", "Service", "Anonymous")
UNIFIED_SERVICE = "taskgate.v1.TaskService"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class Policy:
    """Policies that fit the contract.

    Args:
        texts: Cedar, each with where it comes from.

    Raises:
        ValueError: with what is wrong, and where.
    """

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        texts = list(texts)
        for place, text in texts:
            _check(place, text)
        whole = json.loads(cedarpy.policies_to_json_str("\n".join(text for _, text in texts)))
        self.policies: Sequence[Mapping[str, Any]] = list(whole["staticPolicies"].values())
        """In Cedar's JSON format."""
        named = {
            key: each
            for key, each in whole["staticPolicies"].items()
            if each["effect"] == "forbid" or each["action"]["op"] != "All"
        }
        self._all = cedarpy.PolicySet.from_json_str(json.dumps(whole))
        self._named = cedarpy.PolicySet.from_json_str(json.dumps(whole | {"staticPolicies": named}))

    def allows(
        self, caller: Caller, action: Action, path: Path, target: str = DEFAULT_TARGET
    ) -> bool:
        """Whether the caller may; what Cedar cannot decide is denied."""
        request = {
            "principal": _uid(caller.kind, caller.id),
            "action": _uid("Action", action.name),
            "resource": _uid(*path[-1]),
            "context": {"target": target},
        }
        policies = self._named if action.must_be_named else self._all
        try:
            result = cedarpy.is_authorized(request, policies, _entities(caller, action, path))
        except ValueError:  # what a caller can write and Cedar not read, such as half a character
            return False
        return bool(result.allowed)


def _check(place: str, text: str) -> None:
    """Raises ValueError for what is no Cedar, or names what there is not."""
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    result = cedarpy.validate_policies(text, schema())
    if not result:
        raise ValueError("; ".join(f"{place}: {error}" for error in result.errors))


@cache
def schema() -> cedarpy.Schema:
    """What policies may speak of, so that a typing error is found at the start."""
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
    return cedarpy.Schema.from_json_str(
        json.dumps({"": {"entityTypes": types, "actions": actions}})
    )


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
