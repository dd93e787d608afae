"""Reports the differences between the contracts of two models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from taskgate_server.aws import naming
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.contract import Contract
from taskgate_server.codegen.lock import Entry, Lock, Scope
from taskgate_server.codegen.model_changes import (
    AwsModel,
    documentation_changes,
    flatten,
    model_changes,
)

_NO_MODEL = AwsModel(description={"operations": {}, "shapes": {}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The contract of a service at one time."""

    operations: frozenset[str] = frozenset()
    lock: Lock = field(default_factory=Lock)
    declared: frozenset[str] = frozenset()
    """Messages and enums; the lock also has those of earlier models."""
    deprecated: frozenset[str] = frozenset()
    """Enum values whose words the model no longer has."""
    model: AwsModel = _NO_MODEL


def snapshot(contract: Contract, lock: Lock, model: AwsModel = _NO_MODEL) -> Snapshot:
    """Return the state of a contract with its numbers."""
    return Snapshot(
        operations=frozenset(rpc.name for rpc in contract.rpcs),
        lock=lock,
        declared=frozenset((*contract.messages, *contract.enums)),
        deprecated=frozenset(
            naming.enum_value_name(enum.name, word)
            for enum in contract.enums.values()
            for word in enum.removed
        ),
        model=model,
    )


def report(title: str, before: Snapshot, after: Snapshot) -> list[str]:
    """Return the differences, one per line: `+` new, `-` removed, `~` changed, `!` excluded."""
    changes = {
        "excluded operations": list(_excluded(before, after)),
        "operations": list(_named(before.operations, after.operations)),
        **model_changes(before.model, after.model),
        "renamed shapes": list(_renamed(before, after)),
        "messages and enums": list(_named(before.declared, after.declared)),
        "fields": list(_members(before.lock.messages, after.lock.messages)),
        "enum words": list(_members(before.lock.enums, after.lock.enums)),
        "deprecated enum values": list(_named(before.deprecated, after.deprecated)),
        "documentation": list(_documentation(before, after)),
    }
    return [f"{title}:", *(list(flatten(changes)) or ["  no changes"])]


def _excluded(before: Snapshot, after: Snapshot) -> Iterator[str]:
    for name, reason in sorted(after.lock.excluded.items()):
        was_there = ", which the last release has" if name in before.operations else ""
        yield f"! {name}{was_there}: {reason}"
    for name in sorted(before.lock.excluded.keys() - after.lock.excluded.keys()):
        yield f"- {name}: is no longer excluded"


def _renamed(before: Snapshot, after: Snapshot) -> Iterator[str]:
    for name in sorted(before.declared & after.declared):
        old, new = before.lock.shapes.get(name, name), after.lock.shapes.get(name, name)
        if old != new:
            yield f"~ {old} -> {new}, the contract's {name} as before"


def _documentation(before: Snapshot, after: Snapshot) -> Iterator[str]:
    counts = documentation_changes(before.model, after.model)
    changed = [f"{kind} {count}" for kind, count in counts.items() if count]
    if changed:
        yield f"~ other texts: {', '.join(changed)}"


def _named(before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    known, present = set(before), set(after)
    yield from (f"+ {name}" for name in sorted(present - known))
    yield from (f"- {name}" for name in sorted(known - present))


def _members(before: dict[str, Scope], after: dict[str, Scope]) -> Iterator[str]:
    for name in sorted(before.keys() & after.keys()):
        yield from _entries(name, before[name], after[name])


def _entries(owner: str, before: Scope, after: Scope) -> Iterator[str]:
    for entry in after.entries:
        old = before.live(entry.key)
        if entry.retired or (
            old is not None and (old.number, old.type) == (entry.number, entry.type)
        ):
            continue
        if old is None:
            yield f"+ {owner}.{_describe(entry)}"
        else:
            same = ", the same on the wire" if old.number == entry.number else ""
            yield f"~ {owner}.{_describe(old)} -> {_describe(entry)}{same}"
    for entry in before.entries:
        if not entry.retired and after.live(entry.key) is None:
            yield f"- {owner}.{_describe(entry)}"


def _describe(entry: Entry) -> str:
    if entry.type == locks.ENUM_VALUE:
        return f"{entry.key} = {entry.number}"
    return f"{entry.key}: {entry.type} {entry.name} = {entry.number}"
