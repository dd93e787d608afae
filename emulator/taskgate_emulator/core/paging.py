"""Pages of lists.

A token names the number of the last returned row, not a position, so rows that are created, deleted
or changed between two pages are neither repeated nor skipped. It also holds a digest of the
operation and its other params: a token is valid only for the list that returned it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2s
from typing import Any

from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.state import Key, Record
from taskgate_emulator.core.validation import Violation, rejection

__all__ = ["list_rows", "paginate"]

_LIMITS = ("maxResults", "maxItems")
_DEFAULT_LIMIT = 100
"""The page size if the model has no maximum."""
_TOKENS = ("nextToken", "startingToken")
"""The token in requests of Deadline Cloud and HealthOmics; responses of both say `nextToken`."""


def list_rows(
    call: Call,
    member: str,
    kind: str,
    scope: Key,
    to_item: Callable[[Key, Record], Record | None],
) -> Record:
    """Return one page of the rows of a scope, as the response of a List operation.

    Args:
        call: of the operation.
        member: the response member that has the items.
        kind: of the rows.
        scope: the key of their parent.
        to_item: converts a key and record to an item, or to None to leave the row out.
    """

    def rows_after(number: int) -> Iterator[tuple[int, Record]]:
        for name, row in call.account.table(kind).after(number, *scope):
            item = to_item((*scope, name), row.timeline.record)
            if item is not None:
                yield row.number, item

    return paginate(call, member, rows_after)


def paginate(
    call: Call, member: str, rows_after: Callable[[int], Iterable[tuple[int, Record]]]
) -> Record:
    """Return one page of a list, with the token of the next page if there is one.

    Args:
        call: of the operation.
        member: the response member that has the items.
        rows_after: returns the rows with greater numbers than a number, each with its own.

    Raises:
        AwsError: this list did not return the token.
    """
    operation, params = call.operation, call.params
    input_shape = operation.input_shape
    if input_shape is None:
        raise ValueError(f"{operation.name} takes no params, so it has no pages")
    token_name = next(name for name in _TOKENS if name in input_shape.members)
    limit_name = next(name for name in _LIMITS if name in input_shape.members)
    maximum = input_shape.members[limit_name].metadata.get("max", _DEFAULT_LIMIT)
    limit = params.get(limit_name, maximum)
    digest = _digest(operation.name, params)
    token = params.get(token_name)
    start = 0 if token is None else _position(token, digest, token_name)

    rows: list[Record] = []
    last = 0
    for number, row in rows_after(start):
        if len(rows) == limit:
            return {member: rows, "nextToken": _token(last, digest)}
        rows.append(row)
        last = number
    return {member: rows, "nextToken": None}


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
            raise ValueError("of another list")  # noqa: TRY301 every wrong token is one error
        return int(text.removeprefix(digest))
    except (binascii.Error, ValueError) as error:
        message = "Member must be a token that this list returned"
        raise rejection([Violation(token_name, message)]) from error
