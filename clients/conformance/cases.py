"""Load the cases of cases.yaml and those about names, and run a case with a client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from conformance import name_cases
from conformance.matching import mismatches
from conformance.runners import Runner
from conformance.world import World

FILE = Path(__file__).with_name("cases.yaml")
WORLD_STEPS = ("aws", "relay", "server", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case."""

    name: str
    feature: str
    """The row in docs/clients.md."""
    steps: tuple[Mapping[str, Any], ...]
    connect: str | Mapping[str, Any] | None = "server"
    """`server` or `relay`, in plaintext; or the arguments of `connect`; null for no client."""
    skew: bool = False
    """Whether to run it also with a server of the last contract, and one of a future contract."""


def load_cases(*, skewed: bool = True) -> list[Case]:
    """Return all cases, with those of servers of other contracts unless `skewed` is false.

    Raises:
        ValueError: a case is malformed.
    """
    cases = []
    for entry in (*yaml.safe_load(FILE.read_text()), *name_cases.entries()):
        case = Case(**{**entry, "steps": tuple(entry["steps"])})
        for step in case.steps:
            kinds = set(step) - {"expect"}
            if len(kinds) != 1 or not kinds <= {"client", *WORLD_STEPS}:
                raise ValueError(
                    f"{case.name}: a step needs one of client, {', '.join(WORLD_STEPS)}"
                )
        cases.append(case)
    if skewed:
        cases += [other for case in cases if case.skew for other in _skewed(case)]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases have the same name")
    return cases


def _skewed(case: Case) -> Iterator[Case]:
    for connect, feature, server in (
        ("older", "older servers", "a server of the last contract"),
        ("newer", "newer contracts", "a server of a future contract"),
    ):
        yield replace(case, name=f"{server}: {case.name}", feature=feature, connect=connect)


def run_case(case: Case, runner: Runner, world: World) -> list[str]:
    """Return descriptions of all failures; empty if the client passes."""
    world.begin()
    if case.connect is not None:
        outcome = runner.run(_connection(case.connect, world))
        if outcome != {"ok": {}}:
            return [f"connect: {outcome}"]
    for number, step in enumerate(case.steps, start=1):
        actual = _run_step(step, runner, world)
        if "expect" in step:
            faults = mismatches(_substitute(step["expect"], world.variables), actual)
        else:
            faults = [] if "client" not in step or "ok" in actual else ["the command failed"]
        if faults:
            return [f"step {number}: {fault}; outcome: {actual!r:.700}" for fault in faults]
    return []


def _connection(connect: str | Mapping[str, Any], world: World) -> dict[str, Any]:
    if isinstance(connect, str):
        return {"do": "connect", "address": world.variables[connect.upper()]}
    command: dict[str, Any] = _substitute({"do": "connect", **connect}, world.variables)
    return command


def _run_step(step: Mapping[str, Any], runner: Runner, world: World) -> Any:
    kind = next(iter(set(step) - {"expect"}))
    action = _substitute(step[kind], world.variables)
    if kind == "client":
        return runner.run(action)
    if kind == "server":
        return world.server(action)
    if kind == "token":
        return world.token(action)
    ((do, arguments),) = action.items()
    run = world.aws_step if kind == "aws" else world.relay_step
    return run(do, arguments or {})


def _substitute(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value with all of its variables replaced."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], value)
    if isinstance(value, Mapping):
        return {
            _substitute(key, variables): _substitute(each, variables) for key, each in value.items()
        }
    if isinstance(value, list):
        return [_substitute(each, variables) for each in value]
    return value
