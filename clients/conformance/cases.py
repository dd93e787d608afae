"""The cases of cases.yaml, and how one is run with one client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from conformance.matching import mismatches
from conformance.runners import Runner
from conformance.world import World

FILE = Path(__file__).with_name("cases.yaml")
WORLDLY = ("aws", "relay", "server", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One."""

    name: str
    feature: str
    """What docs/clients.md has a row for."""
    steps: tuple[Mapping[str, Any], ...]
    connect: str | Mapping[str, Any] | None = "server"
    """`server` or `relay`, in plaintext; or the arguments of a `connect` command; null: no client
    is there yet."""
    skew: bool = False
    """Whether it is so also with a server of the last contract, and one of a contract to come."""


def load_cases(*, skewed: bool = True) -> list[Case]:
    """All of them, with those of other contracts' servers unless `skewed` is false.

    Raises:
        ValueError: a case that is none.
    """
    cases = []
    for entry in yaml.safe_load(FILE.read_text()):
        case = Case(**{**entry, "steps": tuple(entry["steps"])})
        for step in case.steps:
            kinds = set(step) - {"expect"}
            if len(kinds) != 1 or not kinds <= {"client", *WORLDLY}:
                raise ValueError(f"{case.name}: a step has one of client, {', '.join(WORLDLY)}")
        cases.append(case)
    if skewed:
        cases += [other for case in cases if case.skew for other in _skewed(case)]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases have one name")
    return cases


def _skewed(case: Case) -> Iterator[Case]:
    for connect, feature, told in (
        ("older", "older servers", "a server of the last contract"),
        ("newer", "newer contracts", "a server of a contract to come"),
    ):
        yield replace(case, name=f"{told}: {case.name}", feature=feature, connect=connect)


def run_case(case: Case, runner: Runner, world: World) -> list[str]:
    """What went wrong, in words; empty if the client passes."""
    world.begin()
    if case.connect is not None:
        told = runner.ask(_connection(case.connect, world))
        if told != {"ok": {}}:
            return [f"connect: {told}"]
    for number, step in enumerate(case.steps, start=1):
        seen = _act(step, runner, world)
        if "expect" in step:
            faults = mismatches(_filled(step["expect"], world.variables), seen)
        else:
            faults = [] if "client" not in step or "ok" in seen else ["it did not succeed"]
        if faults:
            return [f"step {number}: {fault}; all: {seen!r:.700}" for fault in faults]
    return []


def _connection(connect: str | Mapping[str, Any], world: World) -> dict[str, Any]:
    if isinstance(connect, str):
        return {"do": "connect", "address": world.variables[connect.upper()]}
    filled: dict[str, Any] = _filled({"do": "connect", **connect}, world.variables)
    return filled


def _act(step: Mapping[str, Any], runner: Runner, world: World) -> Any:
    kind = next(iter(set(step) - {"expect"}))
    what = _filled(step[kind], world.variables)
    if kind == "client":
        return runner.ask(what)
    if kind == "server":
        return world.server(what)
    if kind == "token":
        return world.token(what)
    ((do, arguments),) = what.items()
    act = world.aws_step if kind == "aws" else world.relay_step
    return act(do, arguments or {})


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with all variables in it replaced."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], value)
    if isinstance(value, Mapping):
        return {_filled(key, variables): _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return value
