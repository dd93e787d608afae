"""botocore's data files, read once for the contract and for all clients.

Each session of botocore parses them for itself, the 1.2 MB of `endpoints.json` included, and each
client retains what its session has parsed. For two AWS services and the contract that took 24 MB,
and takes 4 here.
"""

from __future__ import annotations

import gzip
import json
import marshal
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    from botocore.session import Session

ENDPOINTS: Final = "endpoints"
"""The file with the endpoints of all AWS services: https://github.com/boto/botocore."""


class SharedFiles(JSONFileLoader):
    """Reads each file once, for sessions in several threads.

    The content must not be changed; what a `Loader` merges into it is the same each time. It has
    plain dicts. Those of botocore's own reader, `OrderedDict`, take nearly twice the memory.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._contents: dict[str, Any] = {}

    def load_file(self, file_path: str) -> Any:
        """Return the content of a file; None if it does not exist.

        Args:
            file_path: without `.json` or `.json.gz`.
        """
        with self._lock:
            content = self._contents.get(file_path)
            if content is None:
                content = _read(file_path)
                if content is not None:
                    self._contents[file_path] = content
            return content


class PackedServices(Mapping[str, Any]):
    """The endpoints of the AWS services of a partition by name, each unpacked when it is read.

    A server calls few of the 400 services, and the others take 4 MB unpacked. Each read returns a
    new copy: botocore writes into it (`EndpointResolver._resolve`), and sessions share this.

    Args:
        packed: by name, see `_pack_service`.
    """

    def __init__(self, packed: Mapping[str, Any]) -> None:
        self._packed = packed

    def __getitem__(self, name: str) -> Any:
        each = self._packed[name]
        if not isinstance(each, bytes):
            return each
        return marshal.loads(each)  # noqa: S302  # from `_pack_service`, not from a file

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def _pack_service(found: dict[str, Any]) -> Any:
    """Pack a JSON object if it is a service with its endpoints.

    The parser calls this for each object as soon as it is read, so that never more than one service
    is in memory unpacked: the server would not return that memory to the system.
    """
    return marshal.dumps(found) if "endpoints" in found else found


def _parse_endpoints(data: bytes) -> Any:
    content = json.loads(data, object_hook=_pack_service)
    for partition in content["partitions"]:
        partition["services"] = PackedServices(partition["services"])
    return content


def _read(file_path: str) -> Any:
    parse = _parse_endpoints if Path(file_path).name == ENDPOINTS else json.loads
    plain, compressed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
    if plain.is_file():
        return parse(plain.read_bytes())
    if compressed.is_file():
        return parse(gzip.decompress(compressed.read_bytes()))
    return None


_FILES: Final = SharedFiles()

LOADER: Final = Loader(file_loader=_FILES)
"""Finds the files that botocore has, and those that a user has added for all AWS SDKs."""


def share_files(session: Session) -> None:
    """Make a session read its files here. It still has its own search path (AWS_DATA_PATH)."""
    session.get_component("data_loader").file_loader = _FILES
