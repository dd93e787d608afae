"""Resume tokens: the position of a watch, bound to the request.

    version 1, epoch 8, digest of the request 12, revision 8, checksum 4 bytes

A token grants no access: it is accepted only together with its own request, which names all that
the token refers to.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from taskgate_server import errors

FORMAT: Final = struct.Struct(">B8s12sQ")
CHECKSUM: Final = struct.Struct(">I")
VERSION: Final = 1
EPOCH_BYTES: Final = 8
MAX_TOKEN_BYTES: Final = 1024
"""Limit for tokens of any version, which are much shorter."""


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """The position of a watch."""

    epoch: bytes
    """See `Revisions`."""
    digest: bytes
    """See `digest_of`."""
    revision: int
    """All changes up to this revision have been sent."""

    def to_bytes(self) -> bytes:
        """Return the token as callers receive it."""
        content = FORMAT.pack(VERSION, self.epoch, self.digest, self.revision)
        return content + CHECKSUM.pack(zlib.crc32(content))


def parse(token: bytes, digest: bytes) -> ResumeToken:
    """Return a caller's token. One of another version of Taskgate is of an unknown server.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, the token is invalid or of a different watch.
    """
    content, checksum = token[: -CHECKSUM.size], token[-CHECKSUM.size :]
    if len(token) > MAX_TOKEN_BYTES or checksum != CHECKSUM.pack(zlib.crc32(content)):
        raise errors.invalid_request({"resume_token": "is not a token of a watch"})
    if len(content) != FORMAT.size or content[0] != VERSION:
        return ResumeToken(b"", digest, 0)
    _, epoch, own_digest, revision = FORMAT.unpack(content)
    if own_digest != digest:
        fault = "was issued for a different watch: parent, names, view and target must be the same"
        raise errors.invalid_request({"resume_token": fault})
    return ResumeToken(epoch, own_digest, revision)


def digest_of(parent: str, names: Collection[str], view: int, scope: Sequence[str] = ()) -> bytes:
    """Return a digest of what is watched: the same on each server, for any order of the names."""
    text = "\n".join([*scope, str(view), parent, *sorted(set(names))])
    return hashlib.blake2b(text.encode(), digest_size=12).digest()
