"""The contract generated from botocore 1.43.11, beside the present one.

Its messages have a descriptor pool of their own, as in another process with the old stubs.
"""

from __future__ import annotations

import copy
import gzip
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message

from taskgate_server.aws import model, naming
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import contract_of

IMAGE = Path(__file__).with_name("contract-botocore-1.43.11.binpb.gz")


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Return buf's image of the old protos."""
    return descriptor_pb2.FileDescriptorSet.FromString(gzip.decompress(IMAGE.read_bytes()))


def _files() -> dict[str, FileDescriptor]:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors().file:
        pool.Add(file)
    old = {service.name: file.name for file in descriptors().file for service in file.service}
    return {
        spec.name: pool.FindFileByName(old[spec.grpc_service])
        for spec in SERVICES
        if spec.grpc_service in old
    }


FILES = _files()
"""The old file of each AWS service that is not newer."""

METHODS: list[MethodDescriptor] = [
    method
    for file in FILES.values()
    for service in file.services_by_name.values()
    for method in service.methods
]
"""Every operation of the old contract."""


def service_name(method: MethodDescriptor) -> str:
    """Return botocore's name of the service of an operation."""
    service = method.containing_service.full_name
    return next(spec.name for spec in SERVICES if spec.grpc_service_full_name == service)


def method_id(method: MethodDescriptor) -> str:
    """Return a test id such as `deadline-GetTask`."""
    return f"{service_name(method)}-{method.name}"


def present(old: MethodDescriptor) -> MethodDescriptor:
    """Return the operation in today's contract."""
    return contract_of(service_name(old)).methods_by_name[old.name]


def present_type(old: Descriptor) -> Descriptor | None:
    """Return the message in today's contract, if it exists."""
    pool = descriptor_pool.Default()
    try:
        found: Descriptor = pool.FindMessageTypeByName(old.full_name)
    except KeyError:
        return None
    return found


def message_of(descriptor: Descriptor) -> Any:
    """Return an empty message."""
    return message_factory.GetMessageClass(descriptor)()


def by_name(message: Message, descriptor: Descriptor) -> Message:
    """Convert to another contract's message by field names, ignoring numbers.

    Raises:
        json_format.ParseError: the other contract lacks a field or enum value.
    """
    fields = json_format.MessageToDict(message)
    converted: Message = json_format.ParseDict(fields, message_of(descriptor))
    return converted


@cache
def known_service(name: str) -> model.ServiceModel:
    """Return today's model of the service without what the old contract lacks."""
    service: Any = model.load_service(name)
    description = copy.deepcopy(service._service_description)
    shapes = description["shapes"]
    messages = {shape: [each] for shape, each in FILES[name].message_types_by_name.items()}
    for method in METHODS:
        if service_name(method) == name:
            operation = description["operations"][method.name]
            for key, descriptor in (("input", method.input_type), ("output", method.output_type)):
                if key in operation:
                    messages.setdefault(operation[key]["shape"], []).append(descriptor)
    for shape, found in messages.items():
        if shapes.get(shape, {}).get("type") == "structure":
            _drop_members(shapes[shape], found)
    for shape, enum in FILES[name].enum_types_by_name.items():
        words = shapes[shape]["enum"]
        shapes[shape]["enum"] = [
            word for word in words if naming.enum_value_name(shape, word) in enum.values_by_name
        ]
    return model.ServiceModel(description, name)


def _drop_members(structure: dict[str, Any], descriptors: list[Descriptor]) -> None:
    fields = [_lasting_fields(each) for each in descriptors]
    members = structure["members"]
    lacking = [member for member in members if any(member not in each for each in fields)]
    for member in lacking:
        del members[member]
    if "required" in structure:
        structure["required"] = [name for name in structure["required"] if name in members]


def _lasting_fields(old: Descriptor) -> set[str]:
    """Return the members whose field still exists; a retyped member has a new field name."""
    descriptor = present_type(old)
    names = {} if descriptor is None else {e.json_name: e.name for e in descriptor.fields}
    return {field.json_name for field in old.fields if names.get(field.json_name) == field.name}
