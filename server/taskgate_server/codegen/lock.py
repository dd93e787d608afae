"""The lock: which number each field and enum value has, for ever.

Numbers are looked up, never counted: a new entry takes the highest number ever used in its message
plus one; an entry that the contract no longer has, or has with another type, is retired and its
number and name stay reserved. A member that comes back, or has a new type, is a new entry under a
new name (`status_v2`), since neither number nor name of the old one may be used again. What must
not come under a new name, `history` keeps in the contract.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgate_server.aws import naming
from taskgate_server.codegen.contract import Contract, Enum, Field, Message

ENUM_VALUE = "value"
"""The `type` of enum entries, which cannot be retyped."""


@dataclass(slots=True)
class Entry:
    """One number. `key` is the AWS member, the enum word, or the field name of Taskgate's own."""

    number: int
    name: str
    type: str
    key: str
    retired: bool = False


@dataclass(slots=True)
class Scope:
    """The entries of one message or enum, in the order of their numbers."""

    entries: list[Entry] = field(default_factory=list)

    def live(self, key: str) -> Entry | None:
        """The entry in use for `key`."""
        return next((e for e in self.entries if e.key == key and not e.retired), None)

    def __getitem__(self, key: str) -> Entry:
        """The entry in use for `key`, which was settled before."""
        entry = self.live(key)
        if entry is None:
            raise KeyError(key)
        return entry

    def settle(self, key: str, name: str, type_: str) -> None:
        """Finds or appends the entry for `key`."""
        known = self.live(key)
        if known is not None and known.type == type_:
            return
        if known is not None:
            known.retired = True
        taken = {entry.name for entry in self.entries}
        generation, fresh = 1, name
        while fresh in taken:
            generation += 1
            fresh = f"{name}_v{generation}" if type_ != ENUM_VALUE else f"{name}_V{generation}"
        number = max((entry.number for entry in self.entries), default=0) + 1
        self.entries.append(Entry(number=number, name=fresh, type=type_, key=key))

    def retire_all_but(self, keys: set[str]) -> None:
        """Retires every entry that the model no longer has."""
        for entry in self.entries:
            if entry.key not in keys:
                entry.retired = True


@dataclass(slots=True)
class Lock:
    """All numbers of one generated contract.

    A message that left the model keeps its scope untouched, so that its numbers mean the same
    if it returns.
    """

    messages: dict[str, Scope] = field(default_factory=dict)
    enums: dict[str, Scope] = field(default_factory=dict)

    def settle(self, contract: Contract) -> None:
        """Makes the lock cover the contract: looks up, appends, retires."""
        for message in contract.messages.values():
            self._settle_message(message)
        for enum in contract.enums.values():
            self._settle_enum(enum)

    def _settle_message(self, message: Message) -> None:
        scope = self.messages.setdefault(message.name, Scope())
        scope.retire_all_but({field_key(item) for item in message.fields})
        for item in message.fields:
            # In a oneof or not is part of the type: moving a field in changes what it means.
            type_ = f"oneof {item.type}" if item.in_oneof else item.type
            scope.settle(field_key(item), item.name, type_)

    def _settle_enum(self, enum: Enum) -> None:
        scope = self.enums.setdefault(enum.name, Scope())
        words = (*enum.words, *enum.gone)
        scope.retire_all_but(set(words))
        for word in words:
            scope.settle(word, naming.enum_value_name(enum.name, word), ENUM_VALUE)


def field_key(item: Field) -> str:
    """What identifies a field over time: its AWS member, or its name for Taskgate's own."""
    return item.member if item.member is not None else item.name


def load(path: Path) -> Lock:
    """The lock in a file; an empty one when there is no file yet."""
    if not path.exists():
        return Lock()
    data = json.loads(path.read_text())
    return Lock(messages=_scopes(data["messages"]), enums=_scopes(data["enums"]))


def dump(lock: Lock) -> str:
    """The lock as sorted JSON, one entry a line, so that a diff shows just what changed."""
    parts = [
        f' "{kind}": {{\n' + ",\n".join(_dump_scopes(scopes)) + "\n }"
        for kind, scopes in (("enums", lock.enums), ("messages", lock.messages))
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump_scopes(scopes: dict[str, Scope]) -> list[str]:
    texts = []
    for name in sorted(scopes):
        entries = [
            json.dumps(
                {
                    "number": entry.number,
                    "name": entry.name,
                    "type": entry.type,
                    "key": entry.key,
                    **({"retired": True} if entry.retired else {}),
                }
            )
            for entry in scopes[name].entries
        ]
        body = ",\n   ".join(entries)
        texts.append(f'  "{name}": [\n   {body}\n  ]' if entries else f'  "{name}": []')
    return texts


def _scopes(data: dict[str, list[dict[str, Any]]]) -> dict[str, Scope]:
    return {name: Scope([Entry(**entry) for entry in entries]) for name, entries in data.items()}
