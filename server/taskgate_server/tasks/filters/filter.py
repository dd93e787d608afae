"""Compiles `ListTasksRequest.filter` to a predicate.

syntax   converts text to a tree
fields   converts comparisons to predicates
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from taskgate.v1 import task_pb2
from taskgate_server import errors
from taskgate_server.tasks.filters.fields import HAS, Predicate, to_predicate
from taskgate_server.tasks.filters.syntax import (
    And,
    Comparison,
    Expression,
    FilterError,
    Not,
    parse,
)
from taskgate_server.tasks.states import State

Verdict: TypeAlias = bool | None
"""Whether an expression is true for a task with a certain state; None if that is not enough."""

_Judge: TypeAlias = Callable[[Comparison], Verdict]

_STATE_FIELDS: Final = frozenset({"state", "native_state"})


@dataclass(frozen=True, slots=True, repr=False)  # its values can be sensitive
class Filter:
    """A compiled filter."""

    expression: Expression | None
    matches: Predicate
    fields: frozenset[str]
    """The fields of Task that it uses."""

    def only_native_state(self, states: Mapping[str, State]) -> str | None:
        """Return the AWS value that all matching tasks have as their state; None if none or many.

        Args:
            states: the known AWS values, and what they mean.
        """
        if self.expression is None or not self.fields & _STATE_FIELDS:
            return None
        none = ("", task_pb2.TASK_STATE_UNSPECIFIED)
        unknown = (None, task_pb2.TASK_STATE_UNRECOGNIZED)
        matching = (
            native_state
            for native_state, state in (none, unknown, *states.items())
            if _evaluate(self.expression, _judge(native_state, state, states)) is not False
        )
        possible = list(islice(matching, 2))
        return (possible[0] or None) if len(possible) == 1 else None


def compile_filter(text: str) -> Filter:
    """Return the filter of a request; an empty one matches all tasks.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT with the column, and without any value.
    """
    try:
        expression = parse(text)
        if expression is None:
            return Filter(None, lambda _: True, frozenset())
        return Filter(expression, _to_predicate(expression), frozenset(_fields(expression)))
    except FilterError as error:
        raise errors.invalid_request({"filter": str(error)}) from None


def _to_predicate(expression: Expression) -> Predicate:
    if isinstance(expression, Comparison):
        return to_predicate(expression)
    if isinstance(expression, Not):
        part = _to_predicate(expression.part)
        return lambda task: not part(task)
    parts = [_to_predicate(part) for part in expression.parts]
    if isinstance(expression, And):
        return lambda task: all(part(task) for part in parts)
    return lambda task: any(part(task) for part in parts)


def _fields(expression: Expression) -> set[str]:
    if isinstance(expression, Comparison):
        return {expression.field}
    parts = (expression.part,) if isinstance(expression, Not) else expression.parts
    return {field for part in parts for field in _fields(part)}


def _evaluate(expression: Expression, judge: _Judge) -> Verdict:
    """Evaluate an expression in three-valued logic."""
    if isinstance(expression, Comparison):
        return judge(expression)
    if isinstance(expression, Not):
        verdict = _evaluate(expression.part, judge)
        return None if verdict is None else not verdict
    decisive = not isinstance(expression, And)
    verdicts = {_evaluate(part, judge) for part in expression.parts}
    if decisive in verdicts:
        return decisive
    return None if None in verdicts else not decisive


def _judge(native_state: str | None, state: State, known: Container[str]) -> _Judge:
    """Return how comparisons evaluate for a task in a state.

    Args:
        native_state: AWS's value; None for any that this version does not know.
        state: what it means.
        known: the values that this version knows.
    """
    task = task_pb2.Task(
        state=state, native_state="another" if native_state is None else native_state
    )

    def judge(comparison: Comparison) -> Verdict:
        if comparison.field not in _STATE_FIELDS:
            return None
        is_value = comparison.field == "native_state" and comparison.value is not None
        if native_state is not None or not is_value:
            return to_predicate(comparison)(task)
        if comparison.value in known and comparison.operator in {"=", HAS, "!="}:
            return comparison.operator == "!="
        return None

    return judge
