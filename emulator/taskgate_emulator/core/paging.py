"""Pages of a list, for every operation that has pages.

A token names the number of the last row that was given, not a position, so that rows which come,
go or change while somebody pages are neither repeated nor skipped. It also holds a digest of the
operation and its other params: a token is good only for the list it came from.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2s
from typing import Any

from taskgate_emulator.core.validation import Violation, rejection
from taskgate_server.aws.model import OperationModel

__all__ = ["paginate"]

_LIMITS = ("maxResults", "maxItems")
_MOST = 100
"""The longest page where the model names none."""
_TOKENS = ("nextToken", "startingToken")
"""Deadline's name of the token in a request, and HealthOmics'; answers say `nextToken` in both."""


def paginate(
    operation: OperationModel,
    params: Mapping[str, Any],
    rows_after: Callable[[int], Iterable[tuple[int, Mapping[str, Any]]]],
) -> tuple[list[Mapping[str, Any]], str | None]:
    """One page of a list, and the token of the next if there is one.

    Args:
        operation: whose page it is.
        params: of this call.
        rows_after: gives the rows that this list has after a number, each with its own number.

    Raises:
        AwsError: the token is not one that this list gave.
    """
    input_shape = operation.input_shape
    if input_shape is None:
        raise ValueError(f"{operation.name} takes no params, so it has no pages")
    token_name = next(name for name in _TOKENS if name in input_shape.members)
    limit_name = next(name for name in _LIMITS if name in input_shape.members)
    maximum = input_shape.members[limit_name].metadata.get("max", _MOST)
    limit = params.get(limit_name, maximum)
    digest = _digest(operation.name, params)
    token = params.get(token_name)
    start = 0 if token is None else _position(token, digest, token_name)

    rows: list[Mapping[str, Any]] = []
    last = 0
    for number, row in rows_after(start):
        if len(rows) == limit:
            return rows, _token(last, digest)
        rows.append(row)
        last = number
    return rows, None


def _digest(operation: str, params: Mapping[str, Any]) -> str:
    others = {name: params[name] for name in params if name not in {*_LIMITS, *_TOKENS}}
    text = json.dumps([operation, others], sort_keys=True, default=str)
    return blake2s(text.encode(), digest_size=6).hexdigest()


def _token(number: int, digest: str) -> str:
    return base64.urlsafe_b64encode(f"{digest}{number}".encode()).decode()


def _position(token: str, digest: str, token_name: str) -> int:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        if not text.startswith(digest):
            raise ValueError("of another list")  # noqa: TRY301 one answer to every wrong token
        return int(text.removeprefix(digest))
    except (binascii.Error, ValueError) as error:
        message = "Member must be a token that this list returned"
        raise rejection([Violation(token_name, message)]) from error
