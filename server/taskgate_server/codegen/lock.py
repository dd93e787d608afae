"""The lock: the permanent numbers of fields and enum values.

A new entry gets the highest number ever used in its message plus one. An entry that the contract no
longer has, or has with another type, is retired: its number and name remain reserved. A member that
returns, or has a new type, is a new entry with a new name (`status_v2`). `history` prevents this
for parts that must not be renamed. An int32 that becomes an int64 keeps its number, since the two
are the same on the wire; it never becomes an int32 again.

A scope belongs to a message, which has its name for ever; `shapes` has the AWS shape of those
whose shape has another name now (see `identity`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgate_server.aws import naming
from taskgate_server.codegen.contract import Contract, Enum, Field, Message

ENUM_VALUE = "value"
"""The `type` of enum entries."""

_INT32 = re.compile(r"\bint32(?=>?$)")


@dataclass(slots=True)
class Entry:
    """A number; `key` is the AWS member, the enum word, or the name of Taskgate's own field."""

    number: int
    name: str
    type: str
    key: str
    retired: bool = False


@dataclass(slots=True)
class Scope:
    """The entries of a message or enum, by number."""

    entries: list[Entry] = field(default_factory=list)

    def live(self, key: str) -> Entry | None:
        """Return the entry in use for a key; None if there is none."""
        return next((e for e in self.entries if e.key == key and not e.retired), None)

    def __getitem__(self, key: str) -> Entry:
        """Return the entry in use for a key.

        Raises:
            KeyError: there is none.
        """
        entry = self.live(key)
        if entry is None:
            raise KeyError(key)
        return entry

    def keeps(self, entry: Entry) -> bool:
        """Return whether a released entry still has its number, name and type."""
        return any(
            (each.number, each.name, each.key) == (entry.number, entry.name, entry.key)
            and wider_type(entry.type, each.type) == each.type
            and (each.retired or not entry.retired)
            for each in self.entries
        )

    def update(self, key: str, name: str, type_: str) -> None:
        """Look up or append the entry of a key."""
        known = self.live(key)
        wider = wider_type(known.type, type_) if known is not None else None
        if known is not None and wider is not None:
            known.type = wider
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
        """Retire all entries with other keys."""
        for entry in self.entries:
            if entry.key not in keys:
                entry.retired = True


@dataclass(slots=True)
class Lock:
    """All numbers of a generated contract.

    The scope of a message that the model no longer has remains unchanged, so that its numbers are
    the same if the message returns.
    """

    messages: dict[str, Scope] = field(default_factory=dict)
    enums: dict[str, Scope] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    """Message or enum -> its AWS shape, if that has another name."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Operation that is not in the contract -> the reason."""

    def update(self, contract: Contract) -> None:
        """Update all scopes for a contract."""
        for message in contract.messages.values():
            self._update_message(message)
        for enum in contract.enums.values():
            self._update_enum(enum)

    def differences(self, released: Lock) -> list[str]:
        """Return what has other numbers than in a released lock."""
        return [
            f"{name}.{entry.name}: was {entry.type} = {entry.number} in the last release"
            for old, new in ((released.messages, self.messages), (released.enums, self.enums))
            for name, scope in old.items()
            for entry in scope.entries
            if not new.get(name, Scope()).keeps(entry)
        ]

    def _set_shape(self, name: str, shape: str) -> None:
        self.shapes.pop(name, None)
        if shape not in ("", name):
            self.shapes[name] = shape

    def _update_message(self, message: Message) -> None:
        self._set_shape(message.name, message.shape)
        scope = self.messages.setdefault(message.name, Scope())
        scope.retire_all_but({field_key(item) for item in message.fields})
        for item in message.fields:
            scope.update(field_key(item), item.name, locked_type(item))

    def _update_enum(self, enum: Enum) -> None:
        self._set_shape(enum.name, enum.shape)
        scope = self.enums.setdefault(enum.name, Scope())
        words = (*enum.words, *enum.removed)
        scope.retire_all_but(set(words))
        for word in words:
            scope.update(word, naming.enum_value_name(enum.name, word), ENUM_VALUE)


def field_key(item: Field) -> str:
    """Return the permanent key of a field: its AWS member, or the name of Taskgate's own field."""
    return item.member if item.member is not None else item.name


def locked_type(item: Field, declared: str = "") -> str:
    """Return the type of a field in the lock, given its declaration if that is not the field's."""
    # A oneof is part of the type: moving a field into one changes its meaning.
    return f"oneof {declared or item.type}" if item.in_oneof else declared or item.type


def wider_type(one: str, other: str) -> str | None:
    """Return the type that has the values of both on the wire; None if there is none."""
    if one == other:
        return one
    wide = _INT32.sub("int64", one)
    return wide if wide == _INT32.sub("int64", other) else None


def load(path: Path) -> Lock:
    """Return the lock in a file; an empty one if there is no file."""
    if not path.exists():
        return Lock()
    return parse(path.read_text())


def parse(text: str) -> Lock:
    """Return the lock in a text that `dump` returned."""
    data = json.loads(text)
    return Lock(
        messages=_scopes(data["messages"]),
        enums=_scopes(data["enums"]),
        shapes=data.get("shapes", {}),
        excluded=data.get("excluded", {}),
    )


def dump(lock: Lock) -> str:
    """Return the lock as sorted JSON with one entry per line, for small diffs."""
    parts = [
        f' "{kind}": {{\n' + ",\n".join(_dump_scopes(scopes)) + "\n }"
        for kind, scopes in (("enums", lock.enums), ("messages", lock.messages))
    ]
    parts += [
        f' "{kind}": ' + json.dumps(texts, indent=2, sort_keys=True).replace("\n}", "\n }")
        for kind, texts in (("shapes", lock.shapes), ("excluded", lock.excluded))
        if texts
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
