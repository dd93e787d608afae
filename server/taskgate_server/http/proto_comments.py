"""The comments of the `.proto` files, as descriptions in Markdown.

`rpc.descriptor_files` has the files with their comments; those of error details have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
)

from taskgate_server.rpc.descriptor_files import DescriptorFiles

Path: TypeAlias = tuple[int, ...]
"""Where a declaration is in its file: field numbers and indexes of FileDescriptorProto."""

_MESSAGES: Final = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
_ENUMS: Final = FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER
_SERVICES: Final = FileDescriptorProto.SERVICE_FIELD_NUMBER
_FIELDS: Final = DescriptorProto.FIELD_FIELD_NUMBER
_NESTED_MESSAGES: Final = DescriptorProto.NESTED_TYPE_FIELD_NUMBER
_NESTED_ENUMS: Final = DescriptorProto.ENUM_TYPE_FIELD_NUMBER
_METHODS: Final = 2
"""The number of `ServiceDescriptorProto.method`."""
_VALUES: Final = EnumDescriptorProto.VALUE_FIELD_NUMBER

_PATTERN: Final = re.compile(r"^((?:Each[a-z ]*: )?[Pp]attern )(.+)$", re.MULTILINE)
"""A regular expression in a generated comment. Markdown would read its `*` and `_` as emphasis."""


class ProtoComments:
    """Finds comments. A file is read when the first comment in it is needed."""

    def __init__(self, files: DescriptorFiles) -> None:
        self._files = files
        self._by_file: dict[str, dict[str, str]] = {}

    def find(self, file: str, name: str) -> str:
        """Return the comment on a declaration; empty without one.

        Args:
            file: the path of the `.proto` file.
            name: the full name of a message, field, enum, service or method; of an enum value, the
                enum's full name and that of the value.
        """
        found = self._by_file.get(file)
        if found is None:
            proto = FileDescriptorProto.FromString(self._files.by_name(file)[0])
            found = self._by_file[file] = dict(_read(proto))
        return found.get(name, "")


def _read(proto: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yield the full names of all declarations that have a comment, each with its comment."""
    comments = {
        tuple(location.path): _to_markdown(location.leading_comments)
        for location in proto.source_code_info.location
        if location.leading_comments
    }
    for name, path in _declarations(proto):
        if path in comments:
            yield name, comments[path]


def _declarations(proto: FileDescriptorProto) -> Iterator[tuple[str, Path]]:
    scope = proto.package
    for index, message in enumerate(proto.message_type):
        yield from _in_message(message, scope, (_MESSAGES, index))
    yield from _in_enums(proto.enum_type, scope, (_ENUMS,))
    for index, service in enumerate(proto.service):
        name, path = f"{scope}.{service.name}", (_SERVICES, index)
        yield name, path
        for number, method in enumerate(service.method):
            yield f"{name}.{method.name}", (*path, _METHODS, number)


def _in_message(message: DescriptorProto, scope: str, path: Path) -> Iterator[tuple[str, Path]]:
    name = f"{scope}.{message.name}"
    yield name, path
    for index, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, _FIELDS, index)
    for index, nested in enumerate(message.nested_type):
        yield from _in_message(nested, name, (*path, _NESTED_MESSAGES, index))
    yield from _in_enums(message.enum_type, name, (*path, _NESTED_ENUMS))


def _in_enums(
    enums: Iterable[EnumDescriptorProto], scope: str, path: Path
) -> Iterator[tuple[str, Path]]:
    for index, enum in enumerate(enums):
        name, place = f"{scope}.{enum.name}", (*path, index)
        yield name, place
        for number, value in enumerate(enum.value):
            yield f"{name}.{value.name}", (*place, _VALUES, number)


def _to_markdown(comment: str) -> str:
    lines = [line.removeprefix(" ").rstrip() for line in comment.splitlines()]
    return _PATTERN.sub(_with_code_span, "\n".join(lines).strip())


def _with_code_span(match: re.Match[str]) -> str:
    fence = "``" if "`" in match[2] else "`"
    return f"{match[1]}{fence}{match[2]}{fence}"
