"""Generate the source of a `.proto` file from its descriptor, for the features of this contract.

Descriptors have no comments. `skew.py` compiles the result and compares it with the descriptor.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

SCALARS = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}
"""The keywords of proto3 for types: the names in descriptors, in lower case."""


def source_of(file: FileDescriptorProto) -> str:
    """Return the source of a file, in proto3."""
    return "\n".join(_file(file)) + "\n"


def _file(file: FileDescriptorProto) -> Iterator[str]:
    yield 'syntax = "proto3";'
    yield f"package {file.package};"
    for name in file.dependency:
        yield f'import "{name}";'
    yield f"option go_package = {_quoted(file.options.go_package)};"
    yield f"option java_package = {_quoted(file.options.java_package)};"
    yield f"option java_multiple_files = {str(file.options.java_multiple_files).lower()};"
    for service in file.service:
        yield from _service(service)
    for message in file.message_type:
        yield from _message(message)
    for enum in file.enum_type:
        yield from _enum(enum)


def _service(service: ServiceDescriptorProto) -> Iterator[str]:
    yield f"service {service.name} {{"
    for method in service.method:
        request = ("stream " if method.client_streaming else "") + method.input_type
        response = ("stream " if method.server_streaming else "") + method.output_type
        yield f"rpc {method.name}({request}) returns ({response}) {{"
        if method.options.HasField("idempotency_level"):
            level = MethodOptions.IdempotencyLevel.Name(method.options.idempotency_level)
            yield f"option idempotency_level = {level};"
        yield "}"
    yield "}"


def _message(message: DescriptorProto) -> Iterator[str]:
    yield f"message {message.name} {{"
    yield from _reserved(message)
    entries = {each.name: each for each in message.nested_type if each.options.map_entry}
    for nested in message.nested_type:
        if nested.name not in entries:
            yield from _message(nested)
    for enum in message.enum_type:
        yield from _enum(enum)
    for index, oneof in enumerate(message.oneof_decl):
        members = [each for each in message.field if _in_oneof(each, index)]
        if members:  # the oneof of an `optional` field has none
            yield f"oneof {oneof.name} {{"
            yield from (f"{_type(each)} {each.name} = {each.number};" for each in members)
            yield "}"
    for field in message.field:
        if not field.HasField("oneof_index") or field.proto3_optional:
            yield f"{_labelled(field, entries)} {field.name} = {field.number};"
    yield "}"


def _in_oneof(field: FieldDescriptorProto, index: int) -> bool:
    return (
        field.HasField("oneof_index") and field.oneof_index == index and not field.proto3_optional
    )


def _labelled(field: FieldDescriptorProto, entries: dict[str, DescriptorProto]) -> str:
    entry = entries.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map<{_type(key)}, {_type(value)}>"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {_type(field)}"
    return f"optional {_type(field)}" if field.proto3_optional else _type(field)


def _type(field: FieldDescriptorProto) -> str:
    return field.type_name or SCALARS[field.type]


def _enum(enum: EnumDescriptorProto) -> Iterator[str]:
    yield f"enum {enum.name} {{"
    if enum.options.allow_alias:
        yield "option allow_alias = true;"
    yield from _reserved(enum)
    yield from (f"{value.name} = {value.number};" for value in enum.value)
    yield "}"


def _reserved(descriptor: DescriptorProto | EnumDescriptorProto) -> Iterator[str]:
    # The end of a range is exclusive in messages, but not in enums.
    exclusive = 1 if isinstance(descriptor, DescriptorProto) else 0
    for each in descriptor.reserved_range:
        yield f"reserved {each.start} to {each.end - exclusive};"
    for name in descriptor.reserved_name:
        yield f"reserved {_quoted(name)};"


def _quoted(text: str) -> str:
    return f'"{text}"'
