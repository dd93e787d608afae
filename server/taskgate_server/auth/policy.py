"""The policy, in Cedar (https://docs.cedarpolicy.com): who may do what on which resource.

    principal   `User`, `Service`, `Certificate` (in `Group`s, with `id`) or `Anonymous`
    action      one for each RPC, in `Action::"read"`, `"write"`, `"delete"` or `"credentials"`
    resource    see `resources`
    context     `target`, the AWS account and region that the call is for

What no policy permits is denied. A `permit` for all actions leaves out deletions, RPCs that return
AWS credentials, and the use of other targets than the default one: those must be named.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, get_args

import cedarpy

from taskgate_server.auth import policy_child
from taskgate_server.auth.actions import SPECS, USE_TARGET, Action, Group, action_of
from taskgate_server.auth.authentication import ANONYMOUS, Caller
from taskgate_server.auth.child_process import ChildError, run_module
from taskgate_server.auth.resources import (
    TARGET,
    Path,
    named_path,
    parents,
    policy_types,
    types_named,
)
from taskgate_server.aws import model
from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.reloading import RejectedError
from taskgate_server.telemetry.logs import log_bug

PRINCIPALS: Final = ("User", "Service", "Certificate", "Anonymous")
UNIFIED_SERVICE: Final = "taskgate.v1.TaskService"
REFLECTION: Final = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

TRIAL_ACTIONS: Final = (
    "taskgate.v1.TaskService/GetTask",
    "taskgate.v1.TaskService/RetryTask",
    "taskgate.deadline.v1.DeadlineService/DeleteQueue",
    "taskgate.deadline.v1.DeadlineService/AssumeQueueRoleForUser",
)
TRIAL_RESOURCE: Final = "deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t"

CHILD: Final = policy_child.__name__

MAX_POLICY_BYTES: Final = 256 * 1024
"""Of all policy files together."""

MAX_CHILD_SECONDS: Final = 60.0
"""The child limits itself to 20 s of CPU. This limit is for a machine that hardly runs it."""


class Policy:
    """Policies that fit the schema.

    Args:
        texts: Cedar, each with the name of its file.
        ships_with_server: whether the texts are the server's own. Tests check them, so they are
            parsed in this process, which saves 0.2 s of CPU at each start.

    Raises:
        reloading.RejectedError: the policies cannot be used; the text says where and why.
        OSError: the process that parses them cannot be started.
    """

    def __init__(
        self, texts: Iterable[tuple[str, str]], *, ships_with_server: bool = False
    ) -> None:
        if ships_with_server:
            compiled: Mapping[str, str] = policy_child.parse(text for _, text in texts)
        else:
            compiled = _compile(list(texts))
        self._all = cedarpy.PolicySet.from_json_str(compiled["all"])
        self._named = cedarpy.PolicySet.from_json_str(compiled["named"])
        permits = [
            each
            for each in json.loads(compiled["all"])["staticPolicies"].values()
            if each["effect"] == "permit" and _includes_anonymous(each["principal"])
        ]
        scopes = [each["action"] for each in permits]
        self._permits_anonymous_all = any(scope["op"] == "All" for scope in scopes)
        self._permits_anonymous = {
            entity["id"]
            for scope in scopes
            if scope["op"] != "All"
            for entity in scope.get("entities") or [scope["entity"]]
        }

    def may_permit_anonymous(self, action: Action) -> bool:
        """Return whether any policy can permit the action to a caller without identity.

        Most policies permit nothing to `Anonymous`, so such a caller can be refused before its
        message is read. Only the scopes of the policies count, not their conditions: the result may
        be true for a call that is denied later, and is never false for a permitted one.
        """
        if self._permits_anonymous_all and not action.must_be_named:
            return True
        return action.name in self._permits_anonymous or action.group in self._permits_anonymous

    def allows(
        self, caller: Caller, action: Action, path: Path, target: str = DEFAULT_TARGET
    ) -> bool:
        """Return whether the caller may; whatever Cedar cannot decide is denied."""
        policies = self._named if action.must_be_named else self._all
        request, entities = _cedar_request(caller, action, path, target)
        try:
            result = cedarpy.is_authorized(request, policies, entities)
        except ValueError:  # Cedar cannot read all that a caller can write, such as a surrogate
            return False
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # pyo3's PanicException is no Exception
            log_bug(error, action=action.name)
            return False
        # Cedar skips a policy that it cannot evaluate, which could be a `forbid`.
        return bool(result.allowed) and not result.diagnostics.errors


def _includes_anonymous(scope: Mapping[str, Any]) -> bool:
    """Return whether the principal of a policy can be `Anonymous`.

    Args:
        scope: in Cedar's JSON format: https://docs.cedarpolicy.com/policies/json-format.html
    """
    match scope["op"]:
        case "All":
            return True
        case "is":
            return "in" not in scope and scope["entity_type"] == ANONYMOUS.kind
        case "==":
            return bool(scope["entity"] == _uid(ANONYMOUS.kind, ANONYMOUS.id))
        case _:  # in a Group, in which `Anonymous` never is
            return False


# --- Compilation in a child process ---------------------------------------------------------------


def _compile(texts: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Parse and check policies, and try some decisions, in a child: see `policy_child`.

    Returns:
        The policies as Cedar's JSON, which is bounded in depth: `all`, and `named` without the
        permits for all actions.

    Raises:
        RejectedError: the policies cannot be used.
        OSError: the child cannot be started.
    """
    size = sum(len(text.encode()) for _, text in texts)
    if size > MAX_POLICY_BYTES:
        raise RejectedError(
            f"the policies have {size} bytes, and {MAX_POLICY_BYTES} are allowed: put callers into"
            " groups, and write rules for groups"
        )
    given = {"schema": schema(), "texts": texts, "trials": _trials()}
    try:
        output = run_module(CHILD, json.dumps(given).encode(), seconds=MAX_CHILD_SECONDS)
    except ChildError as error:
        if error.status in {None, -signal.SIGXCPU, -signal.SIGKILL}:
            fault = f"the check of the policy {error}: write fewer or narrower rules"
        else:
            fault = f"the policy crashes Cedar's parser, which {error}: is it nested too deeply?"
        raise RejectedError(fault) from None
    outcome: dict[str, str] = json.loads(output)
    if "summary" in outcome:
        raise RejectedError(outcome["summary"], outcome["detail"])
    return outcome


def _trials() -> list[dict[str, Any]]:
    """Return decisions to try a policy with: one for each principal type and group of actions."""
    trials, path = [], named_path(TRIAL_RESOURCE)
    for action in TRIAL_ACTIONS:
        for kind in PRINCIPALS:
            caller = Caller(kind, "trial", ("trial",))
            request, entities = _cedar_request(caller, action_of(action), path, DEFAULT_TARGET)
            trials.append({"request": request, "entities": entities})
    return trials


@cache
def schema() -> str:
    """Return Cedar's schema as JSON: all that a policy may name. It detects typing errors."""
    namespaces: dict[str, dict[str, Any]] = {"": {"Group": {}}}
    for kind, each in parents().items():
        namespace, _, name = kind.rpartition("::")
        namespaces.setdefault(namespace, {})[name] = {"memberOfTypes": sorted(each)}
    for kind in PRINCIPALS:
        namespaces[""][kind] = {"shape": _record("id"), "memberOfTypes": ["Group"]}
    actions: dict[str, Any] = {group: {} for group in get_args(Group)}
    for action, resources in _actions():
        actions[action.name] = {
            "memberOf": [{"id": action.group}],
            # Only the types that can occur: Cedar checks each policy for each of them.
            "appliesTo": {
                "principalTypes": list(PRINCIPALS),
                "resourceTypes": sorted(resources),
                "context": _record("target"),
            },
        }
    return json.dumps(
        {
            namespace: {"entityTypes": types, "actions": {} if namespace else actions}
            for namespace, types in namespaces.items()
        }
    )


def _record(attribute: str) -> dict[str, Any]:
    return {"type": "Record", "attributes": {attribute: {"type": "String"}}}


def _actions() -> list[tuple[Action, frozenset[str]]]:
    """Return every action, and the types of resource that it can apply to."""
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
    """Return the action of that name, such as `deadline/GetJob`; None if there is none."""
    return next((action for action, _ in _actions() if action.name == name), None)


# --- Requests to Cedar ----------------------------------------------------------------------------


def _cedar_request(
    caller: Caller, action: Action, path: Path, target: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the request and the entities of one decision in Cedar's format."""
    principal = _uid(caller.kind, caller.id)
    steps = [_uid(kind, key) for kind, (_, key) in zip(policy_types(path), path, strict=True)]
    request = {
        "principal": principal,
        "action": _uid("Action", action.name),
        "resource": steps[-1],
        "context": {"target": target},
    }
    groups = [_uid("Group", group) for group in caller.groups]
    entities = [
        _entity(principal, groups, {"id": caller.id}),
        _entity(_uid("Action", action.name), [_uid("Action", action.group)]),
        *(_entity(step, [steps[index - 1]] if index else []) for index, step in enumerate(steps)),
    ]
    return request, entities


def _uid(kind: str, key: str) -> dict[str, str]:
    return {"type": kind, "id": key}


def _entity(
    uid: Mapping[str, str],
    within: Sequence[Mapping[str, str]],
    attributes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {"uid": uid, "attrs": attributes or {}, "parents": within}
