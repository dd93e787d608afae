"""Keeps a new contract compatible with earlier ones, as recorded in the lock.

The lock gives a changed field a new name. Four parts of a contract cannot be renamed, because the
server finds them by name:

- Taskgate's own fields remain in a message that once had them.
- An enum word that the model no longer has remains, deprecated: a reserved word could not return.
- A wrapper whose list or map has another type becomes another message (`TagListV2`), so that the
  fields of its type become other fields.
- A shape that changes its kind (structure, union, list, enum) becomes another message, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from taskgate_server.aws import naming
from taskgate_server.codegen.contract import (
    Contract,
    Enum,
    Field,
    Message,
    empty_members,
    unrecognized_values,
)
from taskgate_server.codegen.lock import Lock

_TYPE_NAME = re.compile(r"[\w.]+(?=>?$)")
"""The type name in a declaration: `Tag` in `repeated Tag` and in `map<string, Tag>`."""

_PERMANENT_FIELDS = (unrecognized_values(), empty_members())


def extend_contract(contract: Contract, lock: Lock) -> Contract:
    """Return the contract with the names and parts that earlier ones require."""
    names = _Names(contract, lock)
    messages = [
        _with_permanent_fields(names.renamed(message), lock)
        for message in contract.messages.values()
    ]
    enums = [
        _with_removed_words(replace(enum, name=names[enum.name]), lock)
        for enum in contract.enums.values()
    ]
    return Contract(
        spec=contract.spec,
        rpcs=contract.rpcs,
        messages={message.name: message for message in messages},
        enums={enum.name: enum for enum in enums},
    )


class _Names:
    """The name of each shape in the contract: its own, or one with a version."""

    def __init__(self, contract: Contract, lock: Lock) -> None:
        self._contract = contract
        self._lock = lock
        # The messages of RPCs are never renamed.
        self._known = {
            name: name
            for rpc in contract.rpcs
            for name in (naming.request_name(rpc.name), naming.response_name(rpc.name))
        }

    def __getitem__(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = name  # meanwhile, for recursive shapes
            self._known[name] = self._find(name)
        return self._known[name]

    def renamed(self, message: Message) -> Message:
        """Return the message with the names of this contract, also in its fields."""
        fields = tuple(self._retyped(item) for item in message.fields)
        return replace(message, name=self[message.name], fields=fields)

    def _retyped(self, item: Field) -> Field:
        return replace(item, type=_TYPE_NAME.sub(self._type_name, item.type))

    def _type_name(self, match: re.Match[str]) -> str:
        name = match[0]
        return self[name] if self._declares(name) else name

    def _declares(self, name: str) -> bool:
        return name in self._contract.messages or name in self._contract.enums

    def _find(self, name: str) -> str:
        message = self._contract.messages.get(name)
        if message is None:
            return next(each for each in self._versions(name) if each not in self._lock.messages)
        wrapped = self._retyped(message.wrapped) if message.wrapped else None
        return next(
            each for each in self._versions(name) if self._is_same_kind(each, message, wrapped)
        )

    def _versions(self, name: str) -> Iterator[str]:
        yield name
        later = (f"{name}V{version}" for version in count(2))
        yield from (each for each in later if not self._declares(each))

    def _is_same_kind(self, name: str, message: Message, wrapped: Field | None) -> bool:
        """Return whether the lock's entry of a name, if there is one, has the kind of a message."""
        if name in self._lock.enums:
            return False
        scope = self._lock.messages.get(name)
        if scope is None or not scope.entries:
            return True
        was_union = any(entry.key == naming.UNKNOWN_MEMBER for entry in scope.entries)
        if wrapped is None:
            return was_union == message.is_union
        known = scope.live(naming.WRAPPED_VALUES)
        return known is not None and known.type == wrapped.type


def _with_permanent_fields(message: Message, lock: Lock) -> Message:
    scope = lock.messages.get(message.name)
    present = {item.name for item in message.fields}
    absent = [item for item in _PERMANENT_FIELDS if item.name not in present]
    missing = tuple(item for item in absent if scope is not None and scope.live(item.name))
    return replace(message, fields=message.fields + missing)


def _with_removed_words(enum: Enum, lock: Lock) -> Enum:
    scope = lock.enums.get(enum.name)
    known = [entry.key for entry in scope.entries if not entry.retired] if scope else []
    return replace(enum, removed=tuple(word for word in known if word not in enum.words))
