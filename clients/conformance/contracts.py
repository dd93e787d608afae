"""Servers of another contract: what of each message they would know, and say.

No such server is at hand; what it and a client make of each other's bytes is.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message

MODULES = (
    "taskgate.v1.task_service_pb2",
    "taskgate.deadline.v1.deadline_pb2",
    "taskgate.omics.v1.omics_pb2",
)
LAST = Path(__file__).parents[2] / "tests/skew/contract-botocore-1.43.11.binpb.gz"
"""The AWS services' part of the last contract, as buf made it."""
UNKNOWN_FIELD = bytes([0xF2, 0xFF, 0xFF, 0xFF, 0x0F, 3]) + b"new"
"""A text in a field with the highest number that there is, which no contract has yet."""

Methods = Mapping[str, MethodDescriptor]
"""By their paths."""


Change = Callable[[bytes, Any], bytes]
"""What becomes of a message, by its descriptor."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a server was built of."""

    methods: Methods
    of_request: Change
    of_answer: Change

    def has(self, path: str) -> bool:
        """Whether the server has an operation; health and the like are no matter of it."""
        return path in self.methods or not path.startswith("/taskgate.")

    def request(self, path: str, body: bytes) -> bytes:
        """What of a request the server knows."""
        method = self.methods.get(path)
        return body if method is None else self.of_request(body, method.input_type)

    def answer(self, path: str, body: bytes) -> bytes:
        """What it makes of an answer of today's server."""
        method = self.methods.get(path)
        return body if method is None else self.of_answer(body, method.output_type)


def today() -> Methods:
    """All that there is now."""
    return _methods(import_module(name).DESCRIPTOR for name in MODULES)


@cache
def last() -> Contract:
    """The last one: operations, fields and union members that are newer are not there.

    The unified part is that of today: clients are written against it. Cases have what servers with
    an older one send.
    """
    return Contract(_methods(_last_files()), _known, _known)


@cache
def newer() -> Contract:
    """One to come: every message in an answer, at whatever depth, has one more field."""
    return Contract(today(), _same, _extended)


@cache
def present() -> Contract:
    """Today's, with which nothing becomes of messages."""
    return Contract(today(), _same, _same)


def message_of(descriptor: Any) -> Any:
    """An empty message."""
    return message_factory.GetMessageClass(descriptor)()


def _methods(files: Any) -> Methods:
    return {
        f"/{service.full_name}/{method.name}": method
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def last_files() -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """The files of the last contract, but what they import of others."""
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


def _same(body: bytes, _: Any) -> bytes:
    return body


def _known(body: bytes, descriptor: Any) -> bytes:
    message = message_of(descriptor)
    message.ParseFromString(body)
    message.DiscardUnknownFields()
    return bytes(message.SerializeToString())


def _extended(body: bytes, descriptor: Any) -> bytes:
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
