"""Keeps a new contract compatible with earlier ones, as recorded in the lock.

The lock gives a changed field a new name. Some parts of a contract cannot be renamed, because
clients or the server find them by name:

- Taskgate's own fields remain in a message that once had them.
- An enum word that the model no longer has remains, deprecated: a reserved word could not return.
- A wrapper whose list or map has another type becomes another message (`TagListV2`), so that the
  fields of its type become other fields.
- A shape that changes its kind (structure, union, list, enum) becomes another message, too.
- A shape that AWS renames remains the message that it was (`identity`).
"""

from __future__ import annotations

from dataclasses import replace

from taskgate_server.codegen.contract import (
    EMPTY_MEMBERS,
    UNRECOGNIZED_VALUES,
    Contract,
    Enum,
    Message,
)
from taskgate_server.codegen.identity import TypeNames
from taskgate_server.codegen.lock import Lock


def extend_contract(contract: Contract, lock: Lock) -> Contract:
    """Return the contract with the names and parts that earlier ones require."""
    names = TypeNames(contract, lock)
    messages = [
        _with_permanent_fields(_named(message, name, names), lock)
        for message in contract.messages.values()
        for name in names.of_shape(message.name)
    ]
    enums = [
        _with_removed_words(replace(enum, name=name, shape=enum.name), lock)
        for enum in contract.enums.values()
        for name in names.of_shape(enum.name)
    ]
    return Contract(
        spec=contract.spec,
        rpcs=contract.rpcs,
        messages={message.name: message for message in messages},
        enums={enum.name: enum for enum in enums},
    )


def _named(message: Message, name: str, names: TypeNames) -> Message:
    fields = tuple(replace(item, type=names.retyped(name, item)) for item in message.fields)
    return replace(message, name=name, fields=fields, shape=message.name)


def _with_permanent_fields(message: Message, lock: Lock) -> Message:
    scope = lock.messages.get(message.name)
    present = {item.name for item in message.fields}
    own = [item for item in (UNRECOGNIZED_VALUES, EMPTY_MEMBERS) if item.name not in present]
    missing = tuple(item for item in own if scope is not None and scope.live(item.name))
    return replace(message, fields=message.fields + missing)


def _with_removed_words(enum: Enum, lock: Lock) -> Enum:
    scope = lock.enums.get(enum.name)
    known = [entry.key for entry in scope.entries if not entry.retired] if scope else []
    return replace(enum, removed=tuple(word for word in known if word not in enum.words))
