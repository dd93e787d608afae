"""Enum numbers of request messages as the words that AWS knows them by.

Counterpart: `to_params`, which converts everything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import EnumDescriptor

from taskgate_server.aws import model, naming
from taskgate_server.aws.constraints import Check, compile_check
from taskgate_server.rpc.validation import KEY, MAX_KEY_CHARACTERS, Path, Validation

Unrecognized: TypeAlias = dict[str, str]
"""Enum values of one message that the contract lacks, by path; removed when they are used."""
ConvertEnums: TypeAlias = Callable[[Any, str, Path, Unrecognized, Validation], Any]
"""Converts enum numbers of the field of that name, at a path, and records their faults."""


def enum_container(shape: model.Shape, enum: EnumDescriptor) -> ConvertEnums:
    """Return the conversion of an enum field: singular, repeated, or the values of a map."""
    check = compile_check(shape)
    if isinstance(shape, model.ListShape):
        return _list(_single(_words(shape.member, enum)), check)
    if isinstance(shape, model.MapShape):
        return _map(_single(_words(shape.value, enum)), compile_check(shape.key), check)
    return _single(_words(shape, enum))


def _words(shape: model.Shape, enum: EnumDescriptor) -> dict[int, str]:
    """Return AWS's enum value for each number of the contract that both know."""
    names = {word: naming.enum_value_name(enum.name, word) for word in model.enum_values(shape)}
    return {
        enum.values_by_name[name].number: word
        for word, name in names.items()
        if name in enum.values_by_name
    }


def _single(words: Mapping[int, str]) -> ConvertEnums:
    def convert(
        number: int, name: str, path: Path, unrecognized: Unrecognized, validation: Validation
    ) -> str | None:
        word = words.get(number)
        if word is not None:
            return word
        if number:
            validation.add(path, f"has the number {number}, which this contract has no word for")
            return None
        return unrecognized_word(unrecognized, name, path, validation)

    return convert


def unrecognized_word(
    unrecognized: Unrecognized, name: str, path: Path, validation: Validation
) -> str | None:
    """Return AWS's value of an unspecified enum, from the caller's `unrecognized_values`.

    Args:
        unrecognized: loses the word.
        name: the path within the message, under which `unrecognized_values` has it.
        path: the same within the request.
        validation: records that there is no word.
    """
    word = unrecognized.pop(name, None)
    if word is None:
        fault = f"is unspecified: set it, or put AWS's word in {naming.UNRECOGNIZED_VALUES}"
        validation.add(path, f"{fault} at {name[:MAX_KEY_CHARACTERS]}")
    elif not word:
        validation.add(path, f"has an empty word in {naming.UNRECOGNIZED_VALUES}")
    return word


def _list(single: ConvertEnums, check: Check | None) -> ConvertEnums:
    def convert(
        numbers: Any, name: str, path: Path, unrecognized: Unrecognized, validation: Validation
    ) -> list[str | None]:
        validation.measure(check, numbers, path)
        return [
            single(number, f"{name}[{index}]", (path, index), unrecognized, validation)
            for index, number in enumerate(numbers)
        ]

    return convert


def _map(single: ConvertEnums, check_key: Check | None, check: Check | None) -> ConvertEnums:
    def convert(
        numbers: Mapping[str, int],
        name: str,
        path: Path,
        unrecognized: Unrecognized,
        validation: Validation,
    ) -> dict[str, str | None]:
        params: dict[str, str | None] = {}
        validation.measure(check, numbers, path)
        for key, number in numbers.items():
            where = path, KEY, key
            validation.check(check_key, key, where, what="its key ")
            within = f"{name}[{json.dumps(key)}]"
            params[key] = single(number, within, where, unrecognized, validation)
        return params

    return convert
