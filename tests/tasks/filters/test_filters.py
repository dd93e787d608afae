"""The filter language: it prints back, means what the docs say, and never crashes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from taskgate.v1 import task_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.services.deadline import tasks as deadline
from taskgate_server.services.omics import tasks as omics
from taskgate_server.tasks.filters.fields import FIELDS, STATES
from taskgate_server.tasks.filters.filter import Filter, compile_filter
from taskgate_server.tasks.filters.syntax import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    And,
    Comparison,
    Expression,
    FilterError,
    Not,
    Or,
    parse,
)

# --- Text of a tree ---------------------------------------------------------------------

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
PLAIN_VALUE = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)|[A-Za-z0-9_.+/-]+"
)
TO_ESCAPE = str.maketrans({'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def printed(expression: Expression) -> str:
    if isinstance(expression, Not):
        return f"NOT {nested(expression.part, And, Or, Not)}"
    if isinstance(expression, Or):
        return " OR ".join(nested(part, And, Or) for part in expression.parts)
    if isinstance(expression, And):
        return " AND ".join(nested(part, And) for part in expression.parts)
    name = "" if expression.name is None else f".{quoted(expression.name, PLAIN_NAME)}"
    value = "*" if expression.value is None else quoted(expression.value, PLAIN_VALUE)
    space = "" if expression.operator == ":" else " "
    return f"{expression.field}{name}{space}{expression.operator}{space}{value}"


def nested(part: Expression, *looser: type[Expression]) -> str:
    return f"({printed(part)})" if isinstance(part, looser) else printed(part)


def quoted(text: str, plain: re.Pattern[str]) -> str:
    return text if plain.fullmatch(text) else f'"{text.translate(TO_ESCAPE)}"'


# --- Trees, tasks, and what a tree means to a reader of the docs ------------------------

TIMES = ("2026-11-01T00:00:00Z", "2026-11-01T02:00:00.5+02:00", "1969-12-31T23:59:59.123456789Z")
WORDS = ("READY", "RUNNING", "SUCCEEDED", "HIBERNATING")
TEXTS = st.sampled_from(["", "a", "b c", "NOT", "*", '"', "\\", "\n", "ü", "1", "-2.50", "1e2"])
NUMBERS = st.sampled_from(["1", "-2.50", "1e2", "100", "0.1", "9" * 20, "1e999999", "+7", "NaN"])
ORDERED = ("=", "!=", "<", "<=", ">", ">=", ":")


def comparisons() -> st.SearchStrategy[Comparison]:
    def of(fields: Any, operators: Any, values: Any) -> st.SearchStrategy[Comparison]:
        return st.builds(
            Comparison,
            field=st.sampled_from(fields),
            operator=st.sampled_from(operators),
            value=values,
        )

    return st.one_of(
        of(["state"], ["=", "!=", ":"], st.sampled_from(sorted(STATES))),
        of(["native_state", "display_name"], ORDERED, TEXTS | st.sampled_from(WORDS)),
        of(["start_time", "end_time"], ORDERED, st.sampled_from(TIMES)),
        of(["retry_count"], ORDERED, st.integers(-3, 3).map(str)),
        of(["parameters"], [":"], TEXTS),
        of([each for each in FIELDS if each != "state"], [":"], st.none()),
        st.builds(
            Comparison,
            field=st.just("parameters"),
            name=st.sampled_from(["Frame", "odd name", "a.b"]),
            operator=st.sampled_from(ORDERED),
            value=TEXTS | NUMBERS,
        ),
    )


def expressions() -> st.SearchStrategy[Expression]:
    def longer(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        several = st.lists(parts, min_size=2, max_size=3).map(tuple)
        return st.one_of(st.builds(Not, parts), st.builds(And, several), st.builds(Or, several))

    return st.recursive(comparisons(), longer, max_leaves=12)


@st.composite
def tasks(draw: st.DrawFn) -> task_pb2.Task:
    word = draw(st.sampled_from(["", *WORDS]))
    task = task_pb2.Task(
        native_state=word,
        state=deadline.STATES.get(word, task_pb2.TASK_STATE_UNRECOGNIZED if word else 0),  # type: ignore[arg-type]  # 0
    )
    if draw(st.booleans()):
        task.display_name = draw(TEXTS)
    if draw(st.booleans()):
        task.retry_count = draw(st.integers(0, 3))
    for field in ("start_time", "end_time"):
        if draw(st.booleans()):
            getattr(task, field).FromJsonString(draw(st.sampled_from(TIMES)))
    for name in draw(st.sets(st.sampled_from(["Frame", "odd name", "a.b"]))):
        kind = draw(st.sampled_from(["int", "float", "string", "path", "unknown_member"]))
        value = draw(NUMBERS if kind in {"int", "float"} else TEXTS)
        task.parameters[name].CopyFrom(task_pb2.TaskParameter(**{kind: value}))
    return task


def means(expression: Expression, task: task_pb2.Task) -> bool:
    """The oracle: written from docs/filters.md, with none of the server's ways."""
    if isinstance(expression, Not):
        return not means(expression.part, task)
    if isinstance(expression, And):
        return all(means(part, task) for part in expression.parts)
    if isinstance(expression, Or):
        return any(means(part, task) for part in expression.parts)
    value, wanted = operands(expression, task)
    if value is None:
        return False
    if expression.value is None:
        return True
    outcomes: dict[str, bool] = {
        "=": value == wanted,
        ":": value == wanted,
        "!=": value != wanted,
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
    }
    return outcomes[expression.operator]


def operands(comparison: Comparison, task: task_pb2.Task) -> tuple[Any, Any]:
    text = comparison.value
    field = comparison.field
    if field == "parameters":
        return parameter_operands(comparison, task)
    if field == "state":
        name = task_pb2.TaskState.Name(task.state).removeprefix("TASK_STATE_")
        return None if name == "UNSPECIFIED" else name, text
    if field == "retry_count":
        return (task.retry_count if task.HasField("retry_count") else None), text and int(text)
    if field.endswith("_time"):
        moment = task_pb2.Task()
        if text is not None:
            moment.start_time.FromJsonString(text)
        there = getattr(task, field).ToNanoseconds() if task.HasField(field) else None  # type: ignore[arg-type]  # a time
        return there, moment.start_time.ToNanoseconds()
    return getattr(task, field) or None, text


def parameter_operands(comparison: Comparison, task: task_pb2.Task) -> tuple[Any, Any]:
    text, name = comparison.value, comparison.name
    if name is None:
        there = bool(task.parameters) if text is None else text in task.parameters
        return (text or "") if there else None, text
    return value_and_wanted(task, name, text) if name in task.parameters else (None, text)


def value_and_wanted(task: task_pb2.Task, name: str, text: str | None) -> tuple[Any, Any]:
    parameter = task.parameters[name]
    kind = parameter.WhichOneof("value")
    assert kind is not None
    value = getattr(parameter, kind)
    if text is None:
        return value, None
    if kind == "unknown_member":
        return None, text
    try:
        numbers = Decimal(value), Decimal(text)
    except ArithmeticError:
        return value, text
    if kind not in {"int", "float"} or not all(number.is_finite() for number in numbers):
        return value, text
    return numbers


# --- Properties -----------------------------------------------------------------------------------


@given(expressions())
def test_printed_filter_parses_to_the_same_tree(expression: Expression) -> None:
    assert parse(printed(expression)) == expression


@given(expressions(), st.lists(tasks(), min_size=1, max_size=5))
def test_predicate_matches_the_documented_semantics(
    expression: Expression, some: list[task_pb2.Task]
) -> None:
    compiled = compile_filter(printed(expression))
    for task in some:
        before = task.SerializeToString(deterministic=True)
        assert compiled.matches(task) is means(expression, task)
        assert task.SerializeToString(deterministic=True) == before


@given(expressions(), st.lists(tasks(), max_size=5))
def test_only_native_state_excludes_no_matching_task(
    expression: Expression, some: list[task_pb2.Task]
) -> None:
    compiled = compile_filter(printed(expression))
    word = compiled.only_native_state(deadline.STATES)
    if word is not None:
        assert all(task.native_state == word for task in some if compiled.matches(task))


PIECES = st.sampled_from(
    [
        *FIELDS,
        *STATES,
        *ORDERED,
        "AND",
        "OR",
        "NOT",
        "-",
        "(",
        ")",
        '"',
        "'",
        "\\",
        ".",
        "*",
        "x",
        " ",
        "2026",
    ]
)


@given(st.text() | st.lists(PIECES).map("".join) | st.lists(PIECES).map(" ".join))
def test_invalid_text_is_an_invalid_argument(text: str) -> None:
    compiled = outcome(text)
    if isinstance(compiled, TaskgateError):
        assert compiled.code is StatusCode.INVALID_ARGUMENT
        assert compiled.message.startswith("filter: column ")
        column = int(compiled.message.split()[2].rstrip(":"))
        assert 1 <= column <= len(text) + 1
    else:
        compiled.matches(task_pb2.Task())
        assert (compiled.expression is None) is (not text.strip(" \t\r\n"))


def outcome(text: str) -> Filter | TaskgateError:
    try:
        return compile_filter(text)
    except TaskgateError as error:
        return error


@given(expressions())
def test_error_contains_no_value(expression: Expression) -> None:
    with pytest.raises(TaskgateError) as raised:
        compile_filter(
            f'{printed(expression)} AND display_name = "swordfish" AND colour = "swordfish"'
        )
    assert "swordfish" not in str(raised.value)
    assert "swordfish" not in repr(compile_filter('display_name = "swordfish"'))


# --- Examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state=FAILED", "state = FAILED"),
        ("a = 1 b = 2 AND c = 3", "a = 1 AND b = 2 AND c = 3"),
        ("a = 1 OR b = 2 AND c = 3", "a = 1 OR b = 2 AND c = 3"),
        ("a = 1 AND (b = 2 AND c = 3)", "a = 1 AND (b = 2 AND c = 3)"),
        ("(a = 1 AND b = 2) OR c = 3", "(a = 1 AND b = 2) OR c = 3"),
        ("((a = 1))", "a = 1"),
        ("-a = -1", "NOT a = -1"),
        ("NOT(NOT a:*)", "NOT (NOT a:*)"),
        ("a = 'it''s'", None),
        (r"a = 'it\'s'", 'a = "it\'s"'),
        ('a = "*"', 'a = "*"'),
        ("t >= 2026-11-01t00:00:00.5+01:00", "t >= 2026-11-01t00:00:00.5+01:00"),
        ("  ", ""),
    ],
)
def test_filter_is_parsed(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(FilterError):
            parse(text)
    else:
        expression = parse(text)
        assert ("" if expression is None else printed(expression)) == expected


def test_or_binds_tighter_than_and() -> None:
    expression = parse("a = 1 AND b = 2 OR c = 3")
    assert isinstance(expression, And)
    assert isinstance(expression.parts[1], Or)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("colour = 1", 1, "unknown field"),
        ("state = FAILED AND colour = 1", 20, "unknown field"),
        ("state = 7", 9, "one of PENDING"),
        ("state = failed", 9, "one of PENDING"),
        ("state = TASK_STATE_UNSPECIFIED", 9, "one of PENDING"),
        ("state < FAILED", 1, "only = != and :"),
        ("retry_count = many", 15, "a whole number"),
        ("start_time > yesterday", 14, "a time such as"),
        ('start_time > "2026-11-01T00:00:00"', 14, "a time such as"),
        ('start_time > "2026-13-01T00:00:00Z"', 14, "a time such as"),
        ("parameters = 1", 1, "parameters.NAME"),
        ("parameters. = 1", 12, "the name of a parameter"),
        ("state.x = FAILED", 1, "only parameters"),
        ("end_time = *", 12, "an unquoted *"),
        ("state FAILED", 7, "expected an operator"),
        ("state =", 8, "expected a value"),
        ('display_name = "a', 16, "unclosed quote"),
        (r'display_name = "a\d"', 18, "invalid escape sequence"),
        ("(state = FAILED", 16, "a closing parenthesis"),
        ("state = FAILED)", 15, "unmatched closing parenthesis"),
        ("AND state = FAILED", 1, "expected a comparison"),
        ("state = FAILED OR", 18, "expected a comparison"),
        ("FAILED", 7, "expected an operator"),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "nested parentheses are allowed"),
        (" " * (MAX_CHARACTERS + 1), MAX_CHARACTERS + 1, "characters are allowed"),
    ],
)
def test_fault_is_reported_with_its_column(text: str, column: int, expected: str) -> None:
    with pytest.raises(TaskgateError) as raised:
        compile_filter(text)
    assert raised.value.message.startswith(f"filter: column {column}: ")
    assert expected in raised.value.message


def test_state_has_two_spellings() -> None:
    task = task_pb2.Task(state=task_pb2.TASK_STATE_FAILED)
    for text in ("state = FAILED", "state = TASK_STATE_FAILED", "state:FAILED"):
        assert compile_filter(text).matches(task)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", None),
        ("state = SUCCEEDED", "COMPLETED"),
        ('native_state = "COMPLETED"', "COMPLETED"),
        ("state = SUCCEEDED AND display_name = x", "COMPLETED"),
        ("state = SUCCEEDED OR display_name = x", None),
        ("state = SUCCEEDED OR state = SUCCEEDED", "COMPLETED"),
        ("state = SUCCEEDED OR state = FAILED", None),
        ("(state = SUCCEEDED OR state = FAILED) AND NOT state = FAILED", "COMPLETED"),
        ("NOT state != SUCCEEDED", None),  # a task without a state is meant, too
        ("NOT (state != SUCCEEDED OR NOT state:*)", "COMPLETED"),
        ("NOT state = FAILED", None),
        ("state = UNRECOGNIZED", None),
        ('native_state = "HIBERNATING"', None),
        ('native_state <= "CANCELLED"', None),  # as an unknown word may be
        ("state = SUCCEEDED AND state = FAILED", None),
    ],
)
def test_only_native_state_of_a_filter(text: str, word: str | None) -> None:
    assert compile_filter(text).only_native_state(omics.STATES) == word


def test_numbers_are_exact() -> None:
    task = task_pb2.Task()
    task.parameters["n"].int = "9007199254740993"
    assert compile_filter("parameters.n > 9007199254740992").matches(task)
    assert not compile_filter("parameters.n = 9007199254740992").matches(task)
    task.parameters["n"].float = "1e400"
    assert compile_filter("parameters.n > 1e399").matches(task)
    task.parameters["n"].string = "10"
    assert compile_filter("parameters.n < 9").matches(task)
