"""Resume tokens: how far a watch has come, and of what it is.

    version 1, server 8, what is watched 12, position 8, checksum 4 bytes

A token carries no authority: it is of use with its own request only, which says all that it says.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from taskgate_server import errors

FORM: Final = struct.Struct(">B8s12sQ")
CHECKSUM: Final = struct.Struct(">I")
VERSION: Final = 1
BOOT_BYTES: Final = 8
MAX_TOKEN_BYTES: Final = 1024
"""Of any version: far more than one has."""


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """Where a watch goes on."""

    boot: bytes
    """Which server process counts the changes."""
    watched: bytes
    """A digest of what is watched."""
    position: int
    """The number up to which all changes have been told."""

    def to_bytes(self) -> bytes:
        """As callers get it."""
        content = FORM.pack(VERSION, self.boot, self.watched, self.position)
        return content + CHECKSUM.pack(zlib.crc32(content))


def parse(token: bytes, watched: bytes) -> ResumeToken | None:
    """What a caller's token says; None for one of another version of Taskgate.

    Args:
        token: as the caller gave it.
        watched: the digest of what the caller wants to watch.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is no token, or one of another watch.
    """
    if len(token) > MAX_TOKEN_BYTES:
        token = b""
    content, checksum = token[: -CHECKSUM.size], token[-CHECKSUM.size :]
    if len(checksum) < CHECKSUM.size or checksum != CHECKSUM.pack(zlib.crc32(content)):
        raise errors.invalid_request({"resume_token": "is not one that a watch has given"})
    if len(content) != FORM.size or content[0] != VERSION:
        return None
    _, boot, of, position = FORM.unpack(content)
    if of != watched:
        fault = "is of a watch of something else: parent, names, view and target must be the same"
        raise errors.invalid_request({"resume_token": fault})
    return ResumeToken(boot, of, position)


def digest(parent: str, names: Collection[str], view: int, scope: Sequence[str] = ()) -> bytes:
    """What is watched, in a few bytes: the same on each server, whatever the names' order."""
    text = "\n".join([*scope, str(view), parent, *sorted(set(names))])
    return hashlib.blake2b(text.encode(), digest_size=12).digest()
