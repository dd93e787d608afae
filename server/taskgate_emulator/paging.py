"""Pages of a list, for every operation that has pages.

A token names the last row that was given, not a position, so that rows which come, go or change
while somebody pages are neither repeated nor skipped. It also holds a digest of the operation and
its other params: a token is good only for the list it came from.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2s
from typing import Any

from taskgate_emulator.validation import Violation, rejection
from taskgate_server.aws.model import OperationModel

__all__ = ["page_of"]

_LIMIT = "maxResults"
_TOKENS = ("nextToken", "startingToken")
"""Deadline's name of the token in a request, and HealthOmics'; answers say `nextToken` in both."""


def page_of(
    operation: OperationModel,
    params: Mapping[str, Any],
    keys: Sequence[str],
    row_of: Callable[[str], Mapping[str, Any] | None],
) -> tuple[list[Mapping[str, Any]], str | None]:
    """One page of a list, and the token of the next if there is one.

    Args:
        operation: whose page it is.
        params: of this call.
        keys: the ids of all rows in a lasting order.
        row_of: gives the row of an id, or None when this list leaves it out.

    Raises:
        AwsError: the token is not one that this list gave.
    """
    input_shape = operation.input_shape
    if input_shape is None:
        raise ValueError(f"{operation.name} takes no params, so it has no pages")
    token_name = next(name for name in _TOKENS if name in input_shape.members)
    limit = params.get(_LIMIT, input_shape.members[_LIMIT].metadata["max"])
    digest = _digest(operation.name, params)
    token = params.get(token_name)
    start = 0 if token is None else _position(token, digest, keys, token_name)

    rows: list[Mapping[str, Any]] = []
    last = ""
    for key in keys[start:]:
        row = row_of(key)
        if row is None:
            continue
        if len(rows) == limit:
            return rows, _token(last, digest)
        rows.append(row)
        last = key
    return rows, None


def _digest(operation: str, params: Mapping[str, Any]) -> str:
    others = {name: params[name] for name in params if name not in {_LIMIT, *_TOKENS}}
    text = json.dumps([operation, others], sort_keys=True, default=str)
    return blake2s(text.encode(), digest_size=6).hexdigest()


def _token(key: str, digest: str) -> str:
    return base64.urlsafe_b64encode(f"{digest}{key}".encode()).decode()


def _position(token: str, digest: str, keys: Sequence[str], token_name: str) -> int:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        # The empty key is in no list, so a token of another list ends below like a broken one.
        return keys.index(text.removeprefix(digest) if text.startswith(digest) else "") + 1
    except (binascii.Error, ValueError) as error:
        message = "Member must be a token that this list returned"
        raise rejection([Violation(token_name, message)]) from error
