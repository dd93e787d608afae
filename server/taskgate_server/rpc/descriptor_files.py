"""The `.proto` files of the contract as descriptors with comments, for reflection.

protoc's Python code has no comments, so the build stores the descriptors that it made of the files
in `taskgate/descriptors.binpb`. Files that are not in it, such as those of health and of error
details, come from the packages that have them, without comments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib import resources
from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

DESCRIPTORS: Final = "descriptors.binpb"


class DescriptorFiles:
    """Finds files by name and by symbol, and returns them as serialized FileDescriptorProtos.

    Args:
        pool: has the descriptors of all imported files.
        packages: the Python packages that store files of the contract with comments.
    """

    def __init__(self, pool: descriptor_pool.DescriptorPool, packages: Iterable[str]) -> None:
        self._pool = pool
        self._packages = list(dict.fromkeys(packages))

    @cached_property
    def _commented(self) -> dict[str, bytes]:
        """The stored files by name. Read at the first use: parsing takes 25 ms."""
        stored = [resources.files(package) / DESCRIPTORS for package in self._packages]
        sets = [
            FileDescriptorSet.FromString(each.read_bytes()) for each in stored if each.is_file()
        ]
        return {file.name: file.SerializeToString() for each in sets for file in each.file}

    def by_name(self, name: str) -> list[bytes]:
        """Return a file and all that it imports.

        Raises:
            KeyError: there is no such file.
        """
        return self._with_imports(self._pool.FindFileByName(name))

    def by_symbol(self, symbol: str) -> list[bytes]:
        """Return the file that declares a symbol, and all that it imports.

        Args:
            symbol: the full name of a service, method, message, field, oneof, enum or enum value.

        Raises:
            KeyError: there is no such symbol.
        """
        return self._with_imports(self._file_of(symbol))

    def by_extension(self, message: str, number: int) -> list[bytes]:
        """Return the file that declares an extension of a message, and all that it imports.

        Raises:
            KeyError: there is no such message or extension.
        """
        extended = self._pool.FindMessageTypeByName(message)
        extension = self._pool.FindExtensionByNumber(extended, number)
        return self.by_symbol(extension.full_name)

    def extension_numbers(self, message: str) -> list[int]:
        """Return the numbers of all extensions of a message.

        Raises:
            KeyError: there is no such message.
        """
        extended = self._pool.FindMessageTypeByName(message)
        return sorted(each.number for each in self._pool.FindAllExtensions(extended))

    def _file_of(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # The pool's index has all symbols but methods.
            service = self._pool.FindServiceByName(symbol.rpartition(".")[0])
            return service.methods_by_name[symbol.rpartition(".")[2]].containing_service.file

    def _with_imports(self, file: FileDescriptor) -> list[bytes]:
        return [self._serialize(each) for each in dict(_imports(file)).values()]

    def _serialize(self, file: FileDescriptor) -> bytes:
        return self._commented.get(file.name) or file.serialized_pb


def add_renamed(pool: descriptor_pool.DescriptorPool, source: str, name: str, package: str) -> None:
    """Add a copy of a file under another name and package to the pool.

    Args:
        pool: has the file, and gets the copy.
        source: the path of the file, in which all messages that it refers to are its own.
        name: the copy's path.
        package: the copy's package.
    """
    proto = FileDescriptorProto()
    pool.FindFileByName(source).CopyToProto(proto)
    before, after = f".{proto.package}.", f".{package}."
    proto.name, proto.package = name, package
    for message in proto.message_type:
        for field in (each for each in message.field if each.HasField("type_name")):
            field.type_name = field.type_name.replace(before, after)
    for service in proto.service:
        for method in service.method:
            method.input_type = method.input_type.replace(before, after)
            method.output_type = method.output_type.replace(before, after)
    pool.Add(proto)


def _imports(file: FileDescriptor) -> Iterator[tuple[str, FileDescriptor]]:
    """Yield a file and all that it imports by name; some more than once."""
    yield file.name, file
    for each in file.dependencies:
        yield from _imports(each)
