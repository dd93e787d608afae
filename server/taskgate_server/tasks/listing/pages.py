"""Pages of a parent's tasks, and the page tokens that continue a list.

A token needs neither memory nor a secret of the server: any replica accepts it, also after a
restart. A forged token is no more than a position in a list that the request names anyway: the
request contains the parent, ids are checked against AWS's model, and AWS checks its own token. The
digest detects mistakes, such as a token that is sent with a different request.

    version (1 byte) | digest of the request (8) | checksum of the cursor (4) | the cursor as JSON
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2s
from typing import Any, Final

from taskgate.v1 import task_pb2
from taskgate_server import errors

_VERSION: Final = b"\x01"
_HEAD: Final = struct.Struct("c8s4s")
_MAX_TOKEN_CHARACTERS: Final = 16_384
"""AWS's own tokens have 4,096 characters at most."""
_MAX_SKIP: Final = 1_000_000
"""More rows than any page of AWS has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A position in the list of a parent's tasks."""

    token: str = ""
    """AWS's token or offset of the page; empty for the first page."""
    skip: int = 0
    """The number of rows of that page that have been returned already."""
    child: str = ""
    """The id of the part of the parent that AWS lists separately, such as a step of a job."""
    children_token: str = ""
    """AWS's token of the page of parts that contains this one."""


START: Final = Cursor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a parent's tasks, as AWS returned it."""

    tasks: Sequence[task_pb2.Task]
    next: Cursor | None
    """The beginning of the next page; None after the last page."""
    total_size: int | None = None
    """The number of the parent's tasks, if it is known without a further call."""
    incomplete_reason: str | None = None
    """Why AWS does not return all tasks, for a person."""
    missing_fields: frozenset[str] = frozenset()
    """Native fields that AWS's operation for one task returns, and these rows do not have."""
    calls: int = 1
    """The number of calls to AWS."""


def encode(cursor: Cursor, request: Sequence[str]) -> str:
    """Return the page token of a position.

    Args:
        cursor: the position.
        request: the parts of the request that must not change.
    """
    content = json.dumps(astuple(cursor), separators=(",", ":")).encode()
    data = _HEAD.pack(_VERSION, _digest(request), _checksum(content)) + content
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(token: str, request: Sequence[str]) -> Cursor:
    """Return the position of a page token; the beginning for an empty one.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, the token is invalid or was issued for a different
            request.
    """
    if not token:
        return START
    parsed = _parse(token)
    if parsed is None:
        raise refused("is not a next_page_token of an earlier response")
    digest, cursor = parsed
    if digest != _digest(request):
        raise refused(
            "was issued for a different request: only page_size and max_age may differ, and the"
            " target must be the same"
        )
    return cursor


def refused(fault: str) -> errors.TaskgateError:
    """Return the error for a page token that cannot be used."""
    return errors.invalid_request({"page_token": fault})


def _parse(token: str) -> tuple[bytes, Cursor] | None:
    """Return the digest and the position in a token; None if it is invalid."""
    if len(token) > _MAX_TOKEN_CHARACTERS:
        return None
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version, digest, checksum = _HEAD.unpack_from(data)
        content = data[_HEAD.size :]
        parts: Any = json.loads(content)
    except (ValueError, struct.error, RecursionError):
        return None
    if version != _VERSION or checksum != _checksum(content):
        return None
    match parts:
        case [str(token), int(skip), str(child), str(children)] if 0 <= skip < _MAX_SKIP:
            return digest, Cursor(token=token, skip=skip, child=child, children_token=children)
    return None


def _checksum(content: bytes) -> bytes:
    return blake2s(content, digest_size=4).digest()


def _digest(request: Sequence[str]) -> bytes:
    text = json.dumps(list(request)).encode()
    return blake2s(text, digest_size=8, person=b"taskgate").digest()
