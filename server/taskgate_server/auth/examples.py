"""Decisions that a policy must make, told by examples in a YAML file.

    - principal: User::alice
      groups: [render]
      action: tasks/RetryTask
      resource: deadline/farms/farm-1/queues/queue-1/jobs/job-1/steps/step-1/tasks/task-1
      decision: allow

A resource has the form of a task's name, as far as it goes, or is an ARN; `server` is Taskgate
itself. `target`
is the AWS account and region that the call is for, if not the default one; that it may be used at
all is the action `targets/Use`, whose resource is the target's name.
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
from taskgate_server.reloading import FileFaultError

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
    """The examples in a file.

    Raises:
        FileFaultError: there are none.
    """
    try:
        return EXAMPLES.validate_python(yaml.safe_load(file.read_text()))
    except OSError as error:
        raise FileFaultError(f"{file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFaultError(f"{file}: is no YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FileFaultError(f"{file}: {place}: {first['msg']}") from None


def failures(policy: Policy, examples: list[Example]) -> list[str]:
    """A line for each example that the policy decides otherwise."""
    return [
        line for number, each in enumerate(examples, 1) if (line := _judge(policy, number, each))
    ]


def _judge(policy: Policy, number: int, example: Example) -> str:
    action = find_action(example.action)
    if action is None:
        return f"example {number}: there is no action {example.action}"
    kind, _, key = example.principal.partition("::")
    path = _path(action, example.resource)
    caller = Caller(kind, key, example.groups)
    decided = "allow" if policy.allows(caller, action, path, example.target) else "deny"
    if decided == example.decision:
        return ""
    asked = f"{example.principal} {example.action} {example.resource}"
    return f"example {number}: {asked}: the policy says {decided}, not {example.decision}"


def _path(action: Action, resource: str) -> Path:
    """Return the path of the resource in an example."""
    if action == USE_TARGET:
        return ((TARGET, resource),)
    if resource == SERVER:
        return THIS_SERVER
    if resource.startswith("arn:"):
        return arn_path(resource, action.name.partition("/")[0])
    return named_path(resource)
