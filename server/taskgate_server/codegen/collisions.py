"""Rejects contracts with name collisions, also those that protobuf would accept.

The lock would rename the second one, and the server would not find it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from taskgate_server.aws import naming
from taskgate_server.codegen.contract import Contract, Enum, Message, UnsupportedModelError
from taskgate_server.codegen.render import derived_json_name


def check(contract: Contract) -> None:
    """Check that all names are distinct.

    Raises:
        UnsupportedModelError: two are not; it has the shape and both members or words.
    """
    for message in contract.messages.values():
        _check_fields(message)
    symbols = dict.fromkeys(
        (contract.spec.grpc_service, *contract.messages, *contract.enums), "another declaration"
    )
    for enum in contract.enums.values():
        _check_enum(enum)
        _check_symbols(enum, symbols)


def _check_fields(message: Message) -> None:
    named = [(item.member or item.name, item.name) for item in message.fields]
    if message.is_union:
        named.append(("the oneof", message.oneof))
    _require_distinct(message.name, named, "field", str)
    _require_distinct(message.name, named, "JSON name", derived_json_name)


def _check_enum(enum: Enum) -> None:
    words = (*enum.words, *enum.removed)
    named = [(word, naming.enum_value_name(enum.name, word)) for word in words]
    zero = ("the zero value", naming.enum_zero_name(enum.name))
    # protobuf compares the values of an enum without case and underscores (its JSON name rule).
    _require_distinct(enum.name, [zero, *named], "value", _canonical)


def _canonical(name: str) -> str:
    return "".join(part.capitalize() for part in re.split("_+", name))


def _require_distinct(
    owner: str, named: Iterable[tuple[str, str]], what: str, spell: Callable[[str], str]
) -> None:
    known: dict[str, str] = {}
    for key, name in named:
        other = known.setdefault(spell(name), key)
        if other != key:
            raise UnsupportedModelError(f"{owner}: {other} and {key} would be one {what}, {name}")


def _check_symbols(enum: Enum, symbols: dict[str, str]) -> None:
    """Check the enum values, which are names in the whole package: `A_B` + `C` is `A` + `B_C`."""
    zero = naming.enum_zero_name(enum.name)
    named = {naming.enum_value_name(enum.name, word): word for word in (*enum.words, *enum.removed)}
    for name, word in {zero: "the zero value", **named}.items():
        here = f"{enum.name}.{word}"
        other = symbols.setdefault(name, here)
        if other != here:
            raise UnsupportedModelError(f"{here} and {other} would both be {name}")
