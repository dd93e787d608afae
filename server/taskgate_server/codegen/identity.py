"""Finds the message or enum of each AWS shape: shapes are renamed, messages are not.

A message is identified by the fields that refer to it, not by its shape's name. If a field has the
type `Item` in the lock, and its shape has a new name in the model, then the message stays `Item` as
long as it has all that the lock has of it. `Lock.shapes` records that `Item` now belongs to the
other shape. So numbers stay the same, and names in clients' sources, too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import chain, count

from taskgate_server.aws import naming
from taskgate_server.codegen.contract import Contract, Field, Message
from taskgate_server.codegen.lock import Lock, Scope, field_key, locked_type, wider_type

TYPE_NAME = re.compile(r"[\w.]+(?=>?$)")
"""The type name in a declaration: `Tag` in `repeated Tag` and in `map<string, Tag>`."""

_Pairs = frozenset[tuple[str, str]]
"""Pairs of types that are compared already, outside of those inside them."""


class TypeNames:
    """The names of a contract's messages and enums, after earlier contracts."""

    def __init__(self, contract: Contract, lock: Lock) -> None:
        self._contract = contract
        self._lock = lock
        self._fixed = {
            name
            for rpc in contract.rpcs
            for name in (naming.request_name(rpc.name), naming.response_name(rpc.name))
        }
        self._shapes: dict[str, str] = {}  # message or enum -> its shape
        self._primary: dict[str, str] = {}  # shape -> the message or enum of new fields
        self._references: dict[tuple[str, str], str] = {}  # message, field -> type
        self._unvisited: deque[str] = deque()
        self._find_all()

    def of_shape(self, shape: str) -> list[str]:
        """Return the messages or enums of a shape; more than one if AWS has joined shapes."""
        return [name for name, owner in self._shapes.items() if owner == shape]

    def retyped(self, owner: str, item: Field) -> str:
        """Return the declaration of a field of a message, as wide as it ever was."""
        declared = TYPE_NAME.sub(
            self._references.get((owner, field_key(item)), r"\g<0>"), item.type
        )
        known = self._scope(owner).live(field_key(item))
        wider = wider_type(known.type, locked_type(item, declared)) if known else None
        return declared if wider is None else wider.removeprefix("oneof ")

    def _find_all(self) -> None:
        for name in self._contract.messages:
            if name in self._fixed:
                self._assign(name, name)
        undecided: deque[tuple[str, Field]] = deque()
        while self._unvisited or undecided:
            # Names in the lock come first: a new field of a shape uses the message of the old ones.
            while self._unvisited:
                undecided += self._follow(self._unvisited.popleft())
            if undecided:
                owner, item = undecided.popleft()
                shape = _reference(item.type)
                name = self._primary.get(shape) or self._new_name(shape)
                self._refer(owner, item, name)

    def _follow(self, owner: str) -> Iterator[tuple[str, Field]]:
        """Use the lock's types for the fields of a message, and yield the other fields."""
        message = self._contract.messages.get(self._shapes[owner])
        for item in message.fields if message else ():
            if not self._declares(_reference(item.type)):
                continue
            known = self._scope(owner).live(field_key(item))
            if known and self._fits(known.type, locked_type(item), frozenset()):
                self._refer(owner, item, _reference(known.type))
            else:
                yield owner, item

    def _refer(self, owner: str, item: Field, name: str) -> None:
        self._references[owner, field_key(item)] = name
        self._assign(name, _reference(item.type))

    def _assign(self, name: str, shape: str) -> None:
        self._primary.setdefault(shape, name)
        if name not in self._shapes:
            # Equal shapes may share a message, which belongs to the one that had it.
            owner = self._owner(name)
            self._shapes[name] = shape if owner is None else owner
            self._unvisited.append(name)

    def _new_name(self, shape: str) -> str:
        if shape in self._fixed:
            return shape
        later = (f"{shape}V{version}" for version in count(2))
        names = chain([shape], (each for each in later if not self._declares(each)))
        return next(name for name in names if self._is_free(name, shape))

    def _is_free(self, name: str, shape: str) -> bool:
        if name in self._lock.messages or name in self._lock.enums:
            return self._may_be(name, shape, frozenset())
        return self._shapes.get(name, shape) == shape

    # --- comparison of a type in the lock with a shape ---------------------------------------

    def _fits(self, known: str, declared: str, assumed: _Pairs) -> bool:
        """Return whether a declaration in the lock can remain for one in the model."""
        if TYPE_NAME.sub("", known) != TYPE_NAME.sub("", declared):
            return False
        old, new = _reference(known), _reference(declared)
        if not self._declares(new):
            return wider_type(known, declared) is not None
        return self._may_be(old, new, assumed)

    def _may_be(self, name: str, shape: str, assumed: _Pairs) -> bool:
        """Return whether a message or enum in the lock can be that of a shape."""
        if (name, shape) in assumed:
            return True
        assumed |= {(name, shape)}
        owner = self._owner(name)
        if owner not in (None, shape):
            return self._are_equal(owner or "", shape, frozenset())
        message = self._contract.messages.get(shape)
        if message is None:
            return name in self._lock.enums and self._has_words(name, shape)
        if name in self._lock.enums or not self._has_kind(name, message, assumed):
            return False
        return self._identity(name) == shape or self._has_members(name, message, assumed)

    def _has_words(self, name: str, shape: str) -> bool:
        words = {entry.key for entry in self._lock.enums[name].entries if not entry.retired}
        return self._identity(name) == shape or words <= set(self._contract.enums[shape].words)

    def _has_kind(self, name: str, message: Message, assumed: _Pairs) -> bool:
        scope = self._scope(name)
        if not scope.entries:
            return name in self._lock.messages
        if message.wrapped is None:
            was_union = any(entry.key == naming.UNKNOWN_MEMBER for entry in scope.entries)
            return was_union == message.is_union
        known = scope.live(naming.WRAPPED_VALUES)
        return known is not None and self._fits(known.type, message.wrapped.type, assumed)

    def _has_members(self, name: str, message: Message, assumed: _Pairs) -> bool:
        """Return whether a message has every field of one in the lock, but Taskgate's own."""
        items = {field_key(item): item for item in message.fields}
        own = (naming.UNRECOGNIZED_VALUES, naming.EMPTY_MEMBERS)
        return all(
            entry.key in items and self._fits(entry.type, locked_type(items[entry.key]), assumed)
            for entry in self._scope(name).entries
            if not entry.retired and entry.key not in own
        )

    def _are_equal(self, one: str, other: str, assumed: _Pairs) -> bool:
        """Return whether two shapes of the model have the same content."""
        if one == other or (one, other) in assumed:
            return True
        enums, messages = self._contract.enums, self._contract.messages
        if one in enums and other in enums:
            return set(enums[one].words) == set(enums[other].words)
        if one not in messages or other not in messages:
            return False
        assumed |= {(one, other)}
        left = {field_key(item): locked_type(item) for item in messages[one].fields}
        right = {field_key(item): locked_type(item) for item in messages[other].fields}
        return left.keys() == right.keys() and all(
            TYPE_NAME.sub("", left[key]) == TYPE_NAME.sub("", right[key])
            and self._are_equal(_reference(left[key]), _reference(right[key]), assumed)
            for key in left
        )

    def _owner(self, name: str) -> str | None:
        """Return the shape of the model that a message belongs to; None if there is none yet."""
        identity = self._identity(name)
        return self._shapes.get(name) or (identity if self._declares(identity) else None)

    def _identity(self, name: str) -> str:
        return self._lock.shapes.get(name, name)

    def _scope(self, name: str) -> Scope:
        return self._lock.messages.get(name, Scope())

    def _declares(self, name: str) -> bool:
        return name in self._contract.messages or name in self._contract.enums


def _reference(declaration: str) -> str:
    found = TYPE_NAME.search(declaration)
    return found[0] if found else ""
