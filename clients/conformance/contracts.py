"""Servers of other contracts, simulated by converting the messages of the current server.

A server of an older contract ignores unknown fields; one of a future contract sends more fields.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message

from taskgate_server.services.registry import SERVICES

MODULES = (
    "taskgate.v1.task_service_pb2",
    *(spec.contract_module for spec in SERVICES if not spec.contract),
)
_BASELINE = Path(__file__).parents[2] / "protos/baseline/contract.binpb.gz"
LAST = Path(os.environ.get("SKEW_CONTRACT", _BASELINE))
"""The contract of the last release, an image of buf; only the AWS services' part is used."""
UNKNOWN_FIELD = bytes([0xF2, 0xFF, 0xFF, 0xFF, 0x0F, 3]) + b"new"
"""A string in the field with the highest number, which no contract has."""

Methods = Mapping[str, MethodDescriptor]
"""Methods by path."""


Change = Callable[[bytes, Any], bytes]
"""Converts a message, given its descriptor."""


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of a server."""

    methods: Methods
    convert_request: Change
    convert_response: Change

    def has(self, path: str) -> bool:
        """Return whether the server has an operation; it has all those of other services."""
        return path in self.methods or not path.startswith("/taskgate.")

    def request(self, path: str, body: bytes) -> bytes:
        """Return a request without what the server does not know."""
        method = self.methods.get(path)
        return body if method is None else self.convert_request(body, method.input_type)

    def response(self, path: str, body: bytes) -> bytes:
        """Return a response as this server would send it, given one of the current server."""
        method = self.methods.get(path)
        return body if method is None else self.convert_response(body, method.output_type)


def current_methods() -> Methods:
    """Return the methods of the current contract."""
    return _methods(import_module(name).DESCRIPTOR for name in MODULES)


@cache
def last() -> Contract:
    """Return the last contract, without newer operations, fields and union members.

    Its unified part is the current one, as clients are written against it. Separate cases have the
    messages of servers with an older one. So are the parts of services that are newer.
    """
    return Contract(_methods(_last_files()), _without_unknown_fields, _without_unknown_fields)


@cache
def newer() -> Contract:
    """Return a future contract: every message in a response, at any depth, has one more field."""
    return Contract(current_methods(), _unchanged, _with_unknown_field)


@cache
def current() -> Contract:
    """Return the current contract, which leaves messages unchanged."""
    return Contract(current_methods(), _unchanged, _unchanged)


def message_of(descriptor: Any) -> Any:
    """Return an empty message."""
    return message_factory.GetMessageClass(descriptor)()


def _methods(files: Any) -> Methods:
    return {
        f"/{service.full_name}/{method.name}": method
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def last_files() -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """Yield the files of the last contract, without imports of other packages."""
    for service_file in _last_files():
        for file in (*service_file.dependencies, service_file):
            if file.name.startswith("taskgate/"):
                proto = descriptor_pb2.FileDescriptorProto()
                file.CopyToProto(proto)
                yield proto


def _last_files() -> Iterator[FileDescriptor]:
    image = descriptor_pb2.FileDescriptorSet.FromString(gzip.decompress(LAST.read_bytes()))
    old = {file.name: file for file in image.file if not file.name.startswith("taskgate/v1/")}
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        file = old.get(name)
        if file is None:
            file = descriptor_pb2.FileDescriptorProto()
            descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
        for each in file.dependency:
            add(each)
        pool.Add(file)

    for module in MODULES:
        name = import_module(module).DESCRIPTOR.name
        add(name)
        yield pool.FindFileByName(name)


def _unchanged(body: bytes, _: Any) -> bytes:
    return body


def _without_unknown_fields(body: bytes, descriptor: Any) -> bytes:
    message = message_of(descriptor)
    message.ParseFromString(body)
    message.DiscardUnknownFields()
    return bytes(message.SerializeToString())


def _with_unknown_field(body: bytes, descriptor: Any) -> bytes:
    message = message_of(descriptor)
    message.ParseFromString(body)
    _extend(message)
    return bytes(message.SerializeToString())


def _extend(message: Message) -> None:
    for field, value in message.ListFields():
        for each in _messages(field, value):
            _extend(each)
    message.MergeFromString(UNKNOWN_FIELD)


def _messages(field: FieldDescriptor, value: Any) -> list[Message]:
    if field.message_type is None:
        return []
    if field.message_type.GetOptions().map_entry:
        of_messages = field.message_type.fields_by_name["value"].message_type is not None
        return list(value.values()) if of_messages else []
    return list(value) if field.is_repeated else [value]
