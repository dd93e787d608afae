"""The fields that a filter can use, and how each is compared with a value.

Comparisons with an absent field are false, also with `!=`; `field:*` tests whether it is present.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from taskgate.v1 import task_pb2
from taskgate_server.aws import timestamps
from taskgate_server.tasks.filters.syntax import Comparison, FilterError

Predicate: TypeAlias = Callable[[task_pb2.Task], bool]
ToPredicate: TypeAlias = Callable[[Comparison], Predicate]

HAS: Final = ":"
"""Means `=` for a single value, and tests for a name in `parameters`."""

OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    HAS: operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UNORDERED: Final = frozenset({"=", HAS, "!="})

_PREFIX: Final = "TASK_STATE_"
STATES: Final[Mapping[str, int]] = {
    name.removeprefix(_PREFIX): number
    for name, number in task_pb2.TaskState.items()
    if number != task_pb2.TASK_STATE_UNSPECIFIED
}
"""The values of `state`."""

_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_INTEGER: Final = re.compile(r"[+-]?\d{1,20}", re.ASCII)
# Each character can be matched in only one way, so that the time is linear in the length.
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NUMERIC_KINDS: Final = frozenset({"int", "float"})


def to_predicate(comparison: Comparison) -> Predicate:
    """Return a function that applies a comparison to a task.

    Raises:
        FilterError: the field does not exist, or does not support the operator or the value.
    """
    make = FIELDS.get(comparison.field)
    if make is None:
        known = ", ".join(FIELDS)
        raise FilterError(comparison.column, f"unknown field; the fields are {known}")
    if comparison.name is not None and comparison.field != "parameters":
        raise FilterError(comparison.column, "only parameters can have a name after a dot")
    if comparison.value is None and comparison.operator != HAS:
        raise FilterError(comparison.value_column, "an unquoted * is only allowed after :")
    return make(comparison)


def _scalar(
    get: Callable[[task_pb2.Task], Any],
    read: Callable[[str], Any],
    expected: str,
    *,
    is_ordered: bool = True,
) -> ToPredicate:
    """Return the predicates of a field with a single value.

    Args:
        get: returns the task's value; None if it is absent.
        read: parses the value in the filter; raises LookupError or ValueError if it cannot be.
        expected: a description of the possible values, for the caller.
        is_ordered: whether the field supports < and >.
    """

    def make(comparison: Comparison) -> Predicate:
        text = comparison.value
        if text is None:
            return lambda task: get(task) is not None
        if not is_ordered and comparison.operator not in _UNORDERED:
            raise FilterError(comparison.column, "this field supports only = != and :")
        try:
            operand = read(text)
        except (LookupError, ValueError):
            raise FilterError(comparison.value_column, f"expected {expected}") from None
        compare = OPERATORS[comparison.operator]

        def test(task: task_pb2.Task) -> bool:
            value = get(task)
            return value is not None and compare(value, operand)

        return test

    return make


def _text(field: str) -> ToPredicate:
    # Absent values are empty, whether or not the field has presence.
    return _scalar(lambda task: getattr(task, field) or None, str, "text")


def _time(field: str) -> ToPredicate:
    def get(task: task_pb2.Task) -> tuple[int, int] | None:
        if not task.HasField(field):  # type: ignore[arg-type]  # one of the fields below
            return None
        moment = getattr(task, field)
        return moment.seconds, moment.nanos

    return _scalar(get, _read_time, 'a time such as "2026-11-01T00:00:00Z"')


def _read_time(text: str) -> tuple[int, int]:
    if not _TIME.fullmatch(text):
        raise ValueError
    return timestamps.to_seconds_and_nanos(text)


def _read_integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


def _parameters(comparison: Comparison) -> Predicate:
    name, text = comparison.name, comparison.value
    if name is not None:
        return (
            (lambda task: name in task.parameters)
            if text is None
            else _parameter(name, text, OPERATORS[comparison.operator])
        )
    if comparison.operator != HAS:
        raise FilterError(comparison.column, "expected a name: parameters.NAME")
    if text is None:
        return lambda task: bool(task.parameters)
    return lambda task: text in task.parameters


def _parameter(name: str, text: str, compare: Callable[[Any, Any], bool]) -> Predicate:
    """Return the predicate of a parameter, compared as a number if its kind is numeric."""
    number = _to_number(text)

    def test(task: task_pb2.Task) -> bool:
        if name not in task.parameters:  # reading a missing key of a message map adds it
            return False
        parameter = task.parameters[name]
        kind = parameter.WhichOneof("value")
        if kind is None or kind == "unknown_member":
            return False
        value: str = getattr(parameter, kind)
        if number is not None and kind in _NUMERIC_KINDS:
            exact = _to_number(value)
            if exact is not None:
                return compare(exact, number)
        return compare(value, text)

    return test


def _to_number(text: str) -> Decimal | None:
    """Return the exact number; None if it is not a number, or out of the range of Decimal."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


FIELDS: Final[Mapping[str, ToPredicate]] = {
    "state": _scalar(
        lambda task: task.state or None,
        lambda text: STATES[text.removeprefix(_PREFIX)],
        f"one of {', '.join(STATES)}",
        is_ordered=False,
    ),
    "native_state": _text("native_state"),
    "display_name": _text("display_name"),
    "create_time": _time("create_time"),
    "start_time": _time("start_time"),
    "end_time": _time("end_time"),
    "update_time": _time("update_time"),
    "retry_count": _scalar(
        lambda task: task.retry_count if task.HasField("retry_count") else None,
        _read_integer,
        "a whole number",
    ),
    "parameters": _parameters,
}
"""How comparisons are converted to predicates, by the field of Task."""
