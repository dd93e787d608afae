"""Reports the differences between the contracts of two models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.lock import Entry, Lock, Scope

_RPC = re.compile(r"^  rpc (\w+)\(", re.MULTILINE)
_DECLARED = re.compile(r"^(?:message|enum) (\w+) ", re.MULTILINE)
_DEPRECATED = re.compile(r"^  (\w+) = \d+ \[deprecated = true\];", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The contract of a service at one time."""

    operations: frozenset[str] = frozenset()
    lock: Lock = field(default_factory=Lock)
    declared: frozenset[str] = frozenset()
    """Messages and enums; the lock also has those of earlier models."""
    deprecated: frozenset[str] = frozenset()
    """Enum values whose words the model no longer has."""


def read(proto: Path, lock: Path) -> Snapshot:
    """Return the contract in a service's two files; an empty one if there are none."""
    text = proto.read_text() if proto.exists() else ""
    return Snapshot(
        operations=frozenset(_RPC.findall(text)),
        lock=locks.load(lock),
        declared=frozenset(_DECLARED.findall(text)),
        deprecated=frozenset(_DEPRECATED.findall(text)),
    )


def report(title: str, before: Snapshot, after: Snapshot) -> list[str]:
    """Return the differences, one per line: `+` new, `-` removed, `~` with a new type and name."""
    sections = (
        ("operations", _named(before.operations, after.operations)),
        ("messages and enums", _named(before.declared, after.declared)),
        ("fields", _members(before.lock.messages, after.lock.messages)),
        ("enum words", _members(before.lock.enums, after.lock.enums)),
        ("deprecated enum values", _named(before.deprecated, after.deprecated)),
    )
    lines = []
    for name, changes in sections:
        found = list(changes)
        if found:
            lines += [f"  {name}:", *(f"    {change}" for change in found)]
    return [f"{title}:", *(lines or ["  no changes"])]


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
        if entry.retired or (old is not None and old.number == entry.number):
            continue
        if old is None:
            yield f"+ {owner}.{_describe(entry)}"
        else:
            yield f"~ {owner}.{_describe(old)} -> {_describe(entry)}"
    for entry in before.entries:
        if not entry.retired and after.live(entry.key) is None:
            yield f"- {owner}.{_describe(entry)}"


def _describe(entry: Entry) -> str:
    if entry.type == locks.ENUM_VALUE:
        return f"{entry.key} = {entry.number}"
    return f"{entry.key}: {entry.type} {entry.name} = {entry.number}"
