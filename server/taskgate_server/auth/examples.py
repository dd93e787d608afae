"""Decisions that a policy must make, as examples in a YAML file.

    - principal: User::alice
      groups: [render]
      action: tasks/RetryTask
      resource: deadline/farms/farm-1/queues/queue-1/jobs/job-1/steps/step-1/tasks/task-1
      decision: allow

A resource is a prefix of a task's name, a similar path, an ARN, or `server` for Taskgate itself.
`target` is the AWS account and region of the call, if not the default one. Its use is the action
`targets/Use`, whose resource is the name of the target.
"""

from __future__ import annotations

from pathlib import Path as File
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from taskgate_server.auth.actions import USE_TARGET, Action
from taskgate_server.auth.authentication import Caller
from taskgate_server.auth.policy import PRINCIPALS, Policy, find_action
from taskgate_server.auth.resources import TARGET, THIS_SERVER, Path, arn_path, named_path
from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.config import SettingsError

SERVER = "server"

Principal = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(PRINCIPALS)})::.+$")]


class Example(BaseModel):
    """One decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    principal: Principal
    groups: tuple[str, ...] = ()
    action: str
    resource: str = Field(min_length=1)
    target: str = DEFAULT_TARGET
    decision: Literal["allow", "deny"]


EXAMPLES = TypeAdapter(list[Example])


def load_examples(file: File) -> list[Example]:
    """Return the examples in a file.

    Raises:
        SettingsError: the file cannot be used.
    """
    try:
        return EXAMPLES.validate_python(yaml.safe_load(file.read_text()))
    except OSError as error:
        raise SettingsError([f"{file}: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file}: is not YAML: {error}"]) from None
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"])
        raise SettingsError([f"{file}: {location}: {first['msg']}"]) from None


def find_failures(policy: Policy, examples: list[Example]) -> list[str]:
    """Return a line for each example that the policy decides otherwise."""
    checked = ((number, _check(policy, each)) for number, each in enumerate(examples, 1))
    return [f"example {number}: {failure}" for number, failure in checked if failure]


def _check(policy: Policy, example: Example) -> str:
    """Return what is wrong with an example; empty if the policy decides as it says."""
    action = find_action(example.action)
    if action is None:
        return f"there is no action {example.action}"
    kind, _, key = example.principal.partition("::")
    path = _path(action, example.resource)
    caller = Caller(kind, key, example.groups)
    decision = "allow" if policy.allows(caller, action, path, example.target) else "deny"
    if decision == example.decision:
        return ""
    call = f"{example.principal} {example.action} {example.resource}"
    return f"{call}: the policy says {decision}, not {example.decision}"


def _path(action: Action, resource: str) -> Path:
    if action == USE_TARGET:
        return ((TARGET, resource),)
    if resource == SERVER:
        return THIS_SERVER
    if resource.startswith("arn:"):
        return arn_path(resource, action.name.partition("/")[0])
    return named_path(resource)
