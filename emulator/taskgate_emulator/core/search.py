"""Filters, sorts and pages of Deadline Cloud's Search operations.

The fields that can be named are the members of the rows that the operation answers with, in
capitals: `TASK_RUN_STATUS` is `taskRunStatus`. Search sees the first 10,000 results only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from taskgate_emulator.core.validation import Violation, rejection
from taskgate_server.aws.model import ListShape, OperationModel, StructureShape

__all__ = ["search"]

_MAX_RESULTS = 10_000
"""`totalResults` never says more, and `itemOffset` goes no further."""
_PAGE = 100

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQUAL": eq,
    "NOT_EQUAL": ne,
    "GREATER_THAN_EQUAL_TO": ge,
    "GREATER_THAN": gt,
    "LESS_THAN_EQUAL_TO": le,
    "LESS_THAN": lt,
}

_Row = Mapping[str, Any]
_Test = Callable[[_Row], bool]


def search(
    operation: OperationModel, params: Mapping[str, Any], rows: Iterable[_Row]
) -> dict[str, Any]:
    """The answer of a Search operation.

    Args:
        operation: whose answer it is.
        params: of this call.
        rows: all that the call's ids reach, in a lasting order.

    Raises:
        AwsError: a filter or sort names a field that the rows do not have.
    """
    member, fields = _rows_shape(operation)
    found: list[_Row] = list(rows)
    if "filterExpressions" in params:
        test = _group(params["filterExpressions"], fields)
        found = [row for row in found if test(row)]
    for sort in reversed(params.get("sortExpressions", ())):
        _sort(found, sort, fields)
    offset, size = params["itemOffset"], params.get("pageSize", _PAGE)
    total = min(len(found), _MAX_RESULTS)
    page = found[offset : min(offset + size, total)]
    following = offset + len(page)
    return {
        member: page,
        "totalResults": total,
        "nextItemOffset": following if following < total and page else None,
    }


def _rows_shape(operation: OperationModel) -> tuple[str, Mapping[str, str]]:
    """The answer's list, and the fields of its rows by the names that callers use."""
    output = operation.output_shape
    for name, shape in output.members.items() if output else ():
        if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
            return name, {_in_capitals(member): member for member in shape.member.members}
    raise ValueError(f"{operation.name} answers with no rows")


def _in_capitals(member: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", member).upper()


def _field(name: str, fields: Mapping[str, str]) -> str:
    if name in fields:
        return fields[name]
    message = f"Member must be one of {', '.join(sorted(fields))}"
    raise rejection([Violation("filterExpressions.name", message)])


def _group(expression: Mapping[str, Any], fields: Mapping[str, str]) -> _Test:
    tests = [_filter(each, fields) for each in expression["filters"]]
    combine = all if expression["operator"] == "AND" else any
    return lambda row: combine(test(row) for test in tests)


def _filter(union: Mapping[str, Any], fields: Mapping[str, str]) -> _Test:
    ((kind, expression),) = union.items()
    if kind == "groupFilter":
        return _group(expression, fields)
    if kind == "searchTermFilter":
        return _search_term(expression)
    if kind == "parameterFilter":
        name = expression["name"]
        return _comparison(
            lambda row: _parameter(row, name), expression["operator"], expression["value"]
        )
    member = _field(expression["name"], fields)
    if kind == "stringListFilter":
        return _comparison(
            lambda row: _text(row.get(member)), expression["operator"], expression["values"]
        )
    if kind == "dateTimeFilter":
        return _comparison(
            lambda row: row.get(member), expression["operator"], expression["dateTime"]
        )
    return _comparison(
        lambda row: _text(row.get(member)), expression["operator"], expression["value"]
    )


def _comparison(value_of: Callable[[_Row], Any], operator: str, wanted: Any) -> _Test:
    if operator in {"ANY_EQUALS", "ALL_NOT_EQUALS"}:
        choices = wanted if isinstance(wanted, list) else [wanted]
        if operator == "ANY_EQUALS":
            return lambda row: value_of(row) in choices
        return lambda row: value_of(row) not in choices
    compare = _OPERATORS[operator]
    # Only a difference can be true of what is not there.
    return lambda row: (
        operator == "NOT_EQUAL" if (value := value_of(row)) is None else compare(value, wanted)
    )


def _search_term(expression: Mapping[str, Any]) -> _Test:
    term = expression["searchTerm"].lower()

    def test(row: _Row) -> bool:
        return any(term in text.lower() for text in _texts(row))

    return test


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not name.startswith("_"):
                yield from _texts(inner)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _parameter(row: _Row, name: str) -> str | None:
    parameters = row.get("parameters") or row.get("jobParameters") or {}
    union = parameters.get(name)
    return None if union is None else next(iter(union.values()))


def _sort(rows: list[_Row], union: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    ((kind, expression),) = union.items()
    if kind == "userJobsFirst":
        user = expression["userIdentityId"]
        rows.sort(key=lambda row: row.get("createdBy") != user)
        return
    if kind == "parameterSort":
        name = expression["name"]
        keys: Sequence[Any] = [_comparable(_parameter(row, name)) for row in rows]
    else:
        member = _field(expression["name"], fields)
        keys = [_comparable(row.get(member)) for row in rows]
    order = sorted(
        range(len(rows)),
        key=lambda position: keys[position],
        reverse=expression["sortOrder"] == "DESCENDING",
    )
    rows[:] = [rows[position] for position in order]


def _comparable(value: Any) -> tuple[int, Any]:
    """Values of one field are ordered by kind first: none, numbers, moments, text."""
    if value is None:
        return (0, 0)
    if isinstance(value, (int, float)):
        return (1, value)
    if isinstance(value, datetime):
        return (2, value)
    try:
        return (1, float(value))
    except (TypeError, ValueError):
        return (3, str(value))
