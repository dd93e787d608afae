"""Remove files of dependencies that the server never loads from the image.

Half of the removed bytes are botocore's models of 400 other AWS services. Package metadata stays,
for scanners.
"""

from __future__ import annotations

import shutil
import struct
import sys
from importlib.util import find_spec
from pathlib import Path

from taskgate_server.services.registry import SERVICES
from taskgate_server.services.supporting import LOGS, SQS

CALLED = tuple(spec.name for spec in (*SERVICES, LOGS, SQS))
"""AWS services that the server calls, as botocore names them."""
CREDENTIALS = ("signin", "sso", "sso-oidc", "sts")
"""AWS services that botocore calls to get credentials."""
PROGRAMS = ("python*", "taskgate")
"""Programs to keep in `bin`. The others are scripts of dependencies and of venv."""
CLIENTS = ("pyqwest",)
"""The HTTP client of connectrpc, of which the server uses only the server's part: 16 MB."""
SUFFIXES = {".c", ".h", ".pxd", ".pyi", ".pyx"}
"""Files for compilers and type checkers."""

ELF_64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_OFFSET, SECTION_OFFSET, PROGRAM_COUNT, SECTION_COUNT, SECTION_NAMES = 5, 6, 10, 12, 13
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def trim(prefix: Path) -> None:
    """Trim the environment at `prefix`."""
    for path in (prefix / "bin").iterdir():
        if not any(path.match(name) for name in PROGRAMS):
            path.unlink()
    shutil.rmtree(prefix / "include", ignore_errors=True)  # headers of greenlet, for compilers
    for package in prefix.glob("lib/python*/site-packages/*"):
        if package.name in CLIENTS:
            shutil.rmtree(package)
            continue
        _trim_files(package)
        # moto, which the emulator uses, reads further models.
        if package.name == "botocore" and find_spec("moto") is None:
            _trim_models(package / "data")


def _trim_files(package: Path) -> None:
    shutil.rmtree(package / "tests", ignore_errors=True)
    for path in package.rglob("*"):
        if path.suffix in SUFFIXES:
            path.unlink()
        elif path.suffix == ".so":
            _strip(path)


def _strip(library: Path) -> None:
    """Remove what only debuggers read: 12 of uvloop's 14 MB, and symbols of others.

    The dynamic loader reads the segments that the program headers name and nothing else (System V
    ABI, chapter 5). Other sections, such as `.debug_info` and `.symtab`, are at its end.
    """
    with library.open("r+b") as file:
        header = list(ELF_HEADER.unpack(file.read(ELF_HEADER.size)))
        if header[0][:6] != ELF_64_LITTLE_ENDIAN:
            return
        file.seek(header[PROGRAM_OFFSET])
        segments = [
            PROGRAM_HEADER.unpack(file.read(PROGRAM_HEADER.size))
            for _ in range(header[PROGRAM_COUNT])
        ]
        header[SECTION_OFFSET] = header[SECTION_COUNT] = header[SECTION_NAMES] = 0  # none
        file.seek(0)
        file.write(ELF_HEADER.pack(*header))
        file.truncate(max(offset + size for _, _, offset, _, _, size, _, _ in segments))


def _trim_models(data: Path) -> None:
    """Remove the models of other AWS services from botocore's data."""
    for path in data.iterdir():
        if path.is_dir() and path.name not in CALLED + CREDENTIALS:
            shutil.rmtree(path)


if __name__ == "__main__":
    trim(Path(sys.prefix))
