"""Pages of the tasks of a step, a job and a queue of Deadline Cloud.

AWS lists the tasks of one step, so those of a job are listed step by step. The tasks of a queue
come from SearchTasks, which pages by offset and ends at the 10,000th result. No filter and no sort
order is sent to it: AWS documents neither the names of its fields nor the default order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation, Paging
from taskgate_server.services.deadline.spec import SPEC
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.listing.pages import Cursor, Page, refused
from taskgate_server.tasks.names import Parent
from taskgate_server.upstream.options import CallOptions

LIST_TASKS: Final = PagedOperation(SPEC.name, "ListTasks")
LIST_STEPS: Final = PagedOperation(SPEC.name, "ListSteps")
SEARCH_TASKS: Final = PagedOperation(
    SPEC.name,
    "SearchTasks",
    # botocore has no paginator for it.
    Paging(token="itemOffset", next_token="nextItemOffset", size="pageSize", rows="tasks"),  # noqa: S106  # names of members
)


async def step_page(
    backend: TaskBackend, parent: Parent, cursor: Cursor, size: int, options: CallOptions
) -> Page:
    """Return a page of a step's tasks."""
    page, observe_time = await backend.fetch_page(
        LIST_TASKS, parent.params, cursor.token, size, options
    )
    tasks = [backend.row_task(parent.params, row, observe_time) for row in page.rows]
    has_all = not cursor.token and not page.next_token
    return Page(
        tasks=tasks,
        next=replace(cursor, token=page.next_token, skip=0) if page.next_token else None,
        total_size=len(tasks) if has_all else None,
        missing_fields=backend.missing_fields(LIST_TASKS),
    )


async def job_page(
    backend: TaskBackend, parent: Parent, cursor: Cursor, size: int, options: CallOptions
) -> Page:
    """Return a page of a job's tasks, all of one step."""
    steps, calls, total = None, 1, None
    if not cursor.child:
        steps, next_steps = await _read_steps(backend, parent, cursor.children_token, options)
        if not steps:
            after = Cursor(children_token=next_steps) if next_steps else None
            return Page(tasks=[], next=after, total_size=None if next_steps else 0)
        calls += 1
        if not cursor.children_token and not next_steps:
            total = _task_count(steps)
        cursor = replace(cursor, child=steps[0]["stepId"])
    step = backend.names.parse_parent(
        f"{parent.name}/steps/{cursor.child}", "page_token", {"steps"}
    )
    page = await step_page(backend, step, cursor, size, options)
    after = page.next
    if after is None:
        if steps is None:
            steps, next_steps = await _read_steps(backend, parent, cursor.children_token, options)
            calls += 1
        after = _next_step(steps, next_steps, cursor)
    return replace(page, next=after, total_size=total, calls=calls)


async def queue_page(
    backend: TaskBackend, parent: Parent, cursor: Cursor, size: int, options: CallOptions
) -> Page:
    """Return a page of a queue's tasks."""
    params = {"farmId": parent.params["farmId"], "queueIds": [parent.params["queueId"]]}
    page, observe_time = await backend.fetch_page(SEARCH_TASKS, params, cursor.token, size, options)
    total = page.response.get("totalResults")
    max_results = SEARCH_TASKS.maximum("totalResults")
    is_cut = total is not None and total >= max_results
    reason = (
        f"AWS searches only the first {max_results:,} tasks of a queue; list its jobs one by one to"
        " get all tasks"
    )
    return Page(
        tasks=[backend.row_task(parent.params, row, observe_time) for row in page.rows],
        next=Cursor(token=page.next_token) if page.next_token else None,
        total_size=None if is_cut else total,
        incomplete_reason=reason if is_cut else None,
        missing_fields=backend.missing_fields(SEARCH_TASKS),
    )


async def _read_steps(
    backend: TaskBackend, parent: Parent, token: str, options: CallOptions
) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Return a page of a job's steps, and the token of the next one."""
    page, _ = await backend.fetch_page(
        LIST_STEPS, parent.params, token, LIST_STEPS.max_size, options
    )
    if not all(isinstance(step.get("stepId"), str) for step in page.rows):
        raise errors.UnreadableResponseError(LIST_STEPS.operation)
    return page.rows, page.next_token


def _next_step(
    steps: Sequence[Mapping[str, Any]], next_steps: str, cursor: Cursor
) -> Cursor | None:
    """Return the beginning of the step after the cursor's; None after the last step."""
    ids = [step["stepId"] for step in steps]
    if cursor.child not in ids:
        raise refused("refers to a step that no longer exists: start again without a token")
    position = ids.index(cursor.child) + 1
    if position < len(ids):
        return Cursor(child=ids[position], children_token=cursor.children_token)
    return Cursor(children_token=next_steps) if next_steps else None


def _task_count(steps: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the number of tasks that the steps report; None if one does not report it."""
    total = 0
    for step in steps:
        counts: Mapping[str, int] | None = step.get("taskRunStatusCounts")
        if counts is None:
            return None
        total += sum(counts.values())
    return total
