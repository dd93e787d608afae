"""Page tokens: where a list goes on, as text that says nothing to a caller and gives it nothing.

A token has no server's memory and no secret behind it, so that any replica takes it, also after a
restart. Somebody who makes one up gets no more than a place to start from, in a list that the
request names anyway: the parent is the request's own, ids are held against AWS's model, and AWS
judges its own token. The digest is there to find mistakes: a token beside another request.

    version (1 byte) | digest of the request (8) | checksum of the rest (4) | the cursor as JSON
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2s
from typing import Any, Final

from taskgate_server import errors

_VERSION: Final = b"\x01"
_DIGEST: Final = 8
_CHECKSUM: Final = 4
_HEAD: Final = len(_VERSION) + _DIGEST + _CHECKSUM
_LONGEST: Final = 16_384
"""Characters; AWS's own tokens have 4,096 at most."""
_FAR: Final = 1_000_000
"""More rows than any page of AWS's has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in the list of a parent's tasks."""

    token: str = ""
    """AWS's token of the page, or its offset; empty for the first one."""
    skip: int = 0
    """How many of that page's rows have been told."""
    child: str = ""
    """What of the parent's the page is of, where AWS lists by those: a step's id, of a job."""
    children_token: str = ""
    """AWS's token of the page of children that has this one."""


START: Final = Cursor()


def encode(cursor: Cursor, request: Sequence[str]) -> str:
    """The token of a place.

    Args:
        cursor: the place.
        request: what must be the same in the request that uses it.
    """
    content = json.dumps(astuple(cursor), separators=(",", ":")).encode()
    checksum = blake2s(content, digest_size=_CHECKSUM).digest()
    data = _VERSION + _digest(request) + checksum + content
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(token: str, request: Sequence[str]) -> Cursor:
    """The place of a token; the beginning for an empty one.

    Args:
        token: as the caller gave it.
        request: what must be the same as in the request that it came from.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, no token of ours, or one of another request.
    """
    if not token:
        return START
    data = _decoded(token)
    content = data[_HEAD:]
    checksum = blake2s(content, digest_size=_CHECKSUM).digest()
    cursor = _cursor(content)
    if data[:1] != _VERSION or data[_HEAD - _CHECKSUM : _HEAD] != checksum or cursor is None:
        raise refused("is no next_page_token of an earlier answer")
    if data[1 : 1 + _DIGEST] != _digest(request):
        raise refused(
            "is of another request: all but page_size and max_age must be as it was, and the target"
        )
    return cursor


def refused(fault: str) -> errors.TaskgateError:
    """The error of a token that cannot be used."""
    return errors.invalid_request({"page_token": fault})


def _decoded(token: str) -> bytes:
    if len(token) > _LONGEST:
        return b""
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _cursor(content: bytes) -> Cursor | None:
    try:
        parts: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    match parts:
        case [str(token), int(skip), str(child), str(children_token)] if 0 <= skip < _FAR:
            return Cursor(token=token, skip=int(skip), child=child, children_token=children_token)
    return None


def _digest(request: Sequence[str]) -> bytes:
    text = json.dumps(list(request)).encode()
    return blake2s(text, digest_size=_DIGEST, person=b"taskgate").digest()
