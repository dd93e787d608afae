"""The Search operations of Deadline Cloud: their filters, sorts and pages.

The fields of filters and sorts are the members of the response's rows in upper case:
`TASK_RUN_STATUS` is `taskRunStatus`. A search returns no more than the first 10,000 results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from taskgate_emulator.core.catalog import rows_member
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.state import Key, Record
from taskgate_emulator.core.validation import Violation, rejection
from taskgate_emulator.deadline.behaviour import (
    OPERATIONS,
    job_record,
    require_record,
    step_record,
)
from taskgate_emulator.deadline.fleets import WORKER
from taskgate_emulator.deadline.tasks import FARM, JOB, QUEUE, STEP, TASK

_MAX_RESULTS = 10_000
"""The maximum of `totalResults`; rows beyond it cannot be reached."""
_DEFAULT_PAGE_SIZE = 100

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQUAL": eq,
    "NOT_EQUAL": ne,
    "GREATER_THAN_EQUAL_TO": ge,
    "GREATER_THAN": gt,
    "LESS_THAN_EQUAL_TO": le,
    "LESS_THAN": lt,
}

_Test = Callable[[Record], bool]


@OPERATIONS.register("SearchJobs")
def search_jobs(call: Call) -> Record:
    """Search jobs of some queues."""
    rows = (
        {
            **job_record(call.account, key, record),
            "queueId": key[1],
            "jobParameters": record.get("parameters"),
        }
        for key, record in _jobs(call)
    )
    return _search(call, rows)


@OPERATIONS.register("SearchSteps")
def search_steps(call: Call) -> Record:
    """Search steps of some queues, or of one job."""
    rows = (
        {
            **step_record(call.account, (*job, step_id), record),
            "queueId": job[1],
            "jobId": job[2],
        }
        for job, _ in _jobs(call)
        for step_id, record in call.account.table(STEP).records(*job)
    )
    return _search(call, rows)


@OPERATIONS.register("SearchTasks")
def search_tasks(call: Call) -> Record:
    """Search tasks of some queues, or of one job."""
    steps = call.account.table(STEP)
    rows = (
        {**record, "queueId": job[1], "jobId": job[2], "stepId": step_id}
        for job, _ in _jobs(call)
        for step_id in steps.ids(*job)
        for _, record in call.account.table(TASK).records(*job, step_id)
    )
    return _search(call, rows)


@OPERATIONS.register("SearchWorkers")
def search_workers(call: Call) -> Record:
    """Search workers of some fleets."""
    require_record(call.account, FARM, call.params)
    farm = call.params["farmId"]
    rows = (
        {**record, "fleetId": fleet}
        for fleet in call.params["fleetIds"]
        for _, record in call.account.table(WORKER).records(farm, fleet)
    )
    return _search(call, rows)


def _jobs(call: Call) -> Iterator[tuple[Key, Record]]:
    """Yield the jobs within the ids of a call.

    Raises:
        AwsError: the farm, a queue or the job does not exist.
    """
    farm, job_id = call.params["farmId"], call.params.get("jobId")
    for queue in call.params["queueIds"]:
        require_record(call.account, QUEUE, {"farmId": farm, "queueId": queue})
    for queue in call.params["queueIds"]:
        for job, record in call.account.table(JOB).records(farm, queue):
            if job_id in {None, job}:
                yield (farm, queue, job), record


def _search(call: Call, rows: Iterable[Record]) -> Record:
    """Return one page of the rows that match the filters of a call, sorted.

    Args:
        call: of a Search operation.
        rows: all rows within the ids of the call, in a stable order.

    Raises:
        AwsError: a filter or sort names an unknown field.
    """
    params, member_and_row = call.params, rows_member(call.operation)
    if member_and_row is None:
        raise ValueError(f"the response of {call.operation.name} has no rows")
    member, row_shape = member_and_row
    fields = {_upper_case(name): name for name in row_shape.members}
    if "filterExpressions" in params:
        rows = filter(_group_test(params["filterExpressions"], fields), rows)
    sorts = params.get("sortExpressions", ())
    # Only a sort needs the rows that cannot be reached.
    matching = list(rows if sorts else islice(rows, _MAX_RESULTS))
    for sort in reversed(sorts):
        _sort(matching, sort, fields)
    offset, size = params["itemOffset"], params.get("pageSize", _DEFAULT_PAGE_SIZE)
    total = min(len(matching), _MAX_RESULTS)
    page = matching[offset : min(offset + size, total)]
    end = offset + len(page)
    return {
        member: page,
        "totalResults": total,
        "nextItemOffset": end if end < total and page else None,
    }


def _upper_case(member: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", member).upper()


def _field(name: str, fields: Mapping[str, str]) -> str:
    if name in fields:
        return fields[name]
    message = f"Member must be one of {', '.join(sorted(fields))}"
    raise rejection([Violation("filterExpressions.name", message)])


def _group_test(expression: Mapping[str, Any], fields: Mapping[str, str]) -> _Test:
    tests = [_filter_test(each, fields) for each in expression["filters"]]
    combine = all if expression["operator"] == "AND" else any
    return lambda row: combine(test(row) for test in tests)


def _filter_test(union: Mapping[str, Any], fields: Mapping[str, str]) -> _Test:
    ((kind, expression),) = union.items()
    if kind == "groupFilter":
        return _group_test(expression, fields)
    if kind == "searchTermFilter":
        return _term_test(expression)
    if kind == "parameterFilter":
        name = expression["name"]
        return _comparison_test(
            lambda row: _parameter(row, name), expression["operator"], expression["value"]
        )
    member = _field(expression["name"], fields)
    if kind == "stringListFilter":
        return _comparison_test(
            lambda row: _text(row.get(member)), expression["operator"], expression["values"]
        )
    if kind == "dateTimeFilter":
        return _comparison_test(
            lambda row: row.get(member), expression["operator"], expression["dateTime"]
        )
    return _comparison_test(
        lambda row: _text(row.get(member)), expression["operator"], expression["value"]
    )


def _comparison_test(value_of: Callable[[Record], Any], operator: str, expected: Any) -> _Test:
    if operator in {"ANY_EQUALS", "ALL_NOT_EQUALS"}:
        choices = expected if isinstance(expected, list) else [expected]
        if operator == "ANY_EQUALS":
            return lambda row: value_of(row) in choices
        return lambda row: value_of(row) not in choices
    compare = _OPERATORS[operator]
    # A missing value satisfies NOT_EQUAL only.
    return lambda row: (
        operator == "NOT_EQUAL" if (value := value_of(row)) is None else compare(value, expected)
    )


def _term_test(expression: Mapping[str, Any]) -> _Test:
    term = expression["searchTerm"].lower()

    def test(row: Record) -> bool:
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


def _parameter(row: Record, name: str) -> str | None:
    parameters = row.get("parameters") or row.get("jobParameters") or {}
    union = parameters.get(name)
    return None if union is None else next(iter(union.values()))


def _sort(rows: list[Record], union: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    ((kind, expression),) = union.items()
    if kind == "userJobsFirst":
        user = expression["userIdentityId"]
        rows.sort(key=lambda row: row.get("createdBy") != user)
        return
    if kind == "parameterSort":
        name = expression["name"]
        keys: Sequence[Any] = [_sort_key(_parameter(row, name)) for row in rows]
    else:
        member = _field(expression["name"], fields)
        keys = [_sort_key(row.get(member)) for row in rows]
    order = sorted(
        range(len(rows)),
        key=lambda position: keys[position],
        reverse=expression["sortOrder"] == "DESCENDING",
    )
    rows[:] = [rows[position] for position in order]


def _sort_key(value: Any) -> tuple[int, Any]:
    """Return a sort key that orders values by type first: none, numbers, times, text."""
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
