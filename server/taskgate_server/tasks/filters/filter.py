"""`ListTasksRequest.filter`: compiled once to a predicate, and what it says of AWS's words.

filters_syntax   text to tree and back
filters_fields   a comparison as a predicate
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

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
"""Whether an expression is true of a task of which one knows the state only; None: it depends."""

_Judge: TypeAlias = Callable[[Comparison], Verdict]


@dataclass(frozen=True, slots=True, repr=False)  # its values can be sensitive
class Filter:
    """Which tasks are wanted."""

    expression: Expression | None
    matches: Predicate
    fields: frozenset[str]
    """The fields of Task that it looks at."""

    def only_native_state(self, states: Mapping[str, State]) -> str | None:
        """The one word of AWS's that every task meant has; None unless there is exactly one.

        Args:
            states: every word that AWS is known to use, and its state.
        """
        if self.expression is None or not self.fields & {"state", "native_state"}:
            return None
        expression = self.expression
        if _judge(expression, _told_nothing) is not False:
            return None
        if _judge(expression, _told_another_word(states)) is not False:
            return None
        words = [
            word
            for word, state in states.items()
            if _judge(expression, _told(word, state)) is not False
        ]
        return words[0] if len(words) == 1 else None


def compile_filter(text: str) -> Filter:
    """The filter of a request; one without text wants every task.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT that tells the column, and nothing of the values.
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


def _judge(expression: Expression, judge: _Judge) -> Verdict:
    """Three-valued logic: what depends stays open unless the rest decides."""
    if isinstance(expression, Comparison):
        return judge(expression)
    if isinstance(expression, Not):
        verdict = _judge(expression.part, judge)
        return None if verdict is None else not verdict
    decisive = not isinstance(expression, And)
    verdicts = {_judge(part, judge) for part in expression.parts}
    if decisive in verdicts:
        return decisive
    return None if None in verdicts else not decisive


def _told(word: str, state: State) -> _Judge:
    task = task_pb2.Task(state=state, native_state=word)

    def judge(comparison: Comparison) -> Verdict:
        if comparison.field in {"state", "native_state"}:
            return to_predicate(comparison)(task)
        return None

    return judge


def _told_nothing(comparison: Comparison) -> Verdict:
    return _told("", task_pb2.TASK_STATE_UNSPECIFIED)(comparison)


def _told_another_word(states: Mapping[str, State]) -> _Judge:
    """A task in a state that AWS has invented since."""

    def judge(comparison: Comparison) -> Verdict:
        if comparison.field == "native_state" and comparison.value is not None:
            if comparison.value in states and comparison.operator in {"=", HAS, "!="}:
                return comparison.operator == "!="
            return None
        return _told("another", task_pb2.TASK_STATE_UNRECOGNIZED)(comparison)

    return judge
