"""The tasks of a step, a job and a queue of Deadline Cloud, page by page.

AWS lists the tasks of one step. A job's are those of its steps, one step after the other. A queue's
come from SearchTasks, which goes by offsets and ends at its 10,000th result. No filter and no sort
is passed to it: AWS documents neither the names of its fields nor the order without a sort.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation, Paging
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.listing.page import Page
from taskgate_server.tasks.listing.page_tokens import Cursor, refused
from taskgate_server.tasks.names import Parent
from taskgate_server.upstream.options import CallOptions

LIST_TASKS: Final = PagedOperation("deadline", "ListTasks")
LIST_STEPS: Final = PagedOperation("deadline", "ListSteps")
SEARCH_TASKS: Final = PagedOperation(
    "deadline",
    "SearchTasks",
    # botocore has no paginator for it.
    Paging(token="itemOffset", next_token="nextItemOffset", size="pageSize", rows="tasks"),  # noqa: S106  # names of members
)


async def step_page(
    backend: TaskBackend, parent: Parent, cursor: Cursor, size: int, options: CallOptions
) -> Page:
    """A page of a step's tasks."""
    page, observed = await backend.fetch_page(
        LIST_TASKS, parent.params, cursor.token, size, options
    )
    tasks = [backend.row_task(parent.params, row, observed) for row in page.rows]
    is_whole = not cursor.token and not page.next_token
    return Page(
        tasks=tasks,
        next=replace(cursor, token=page.next_token, skip=0) if page.next_token else None,
        total_size=len(tasks) if is_whole else None,
        lacks=backend.lacks(LIST_TASKS),
    )


async def job_page(
    backend: TaskBackend, parent: Parent, cursor: Cursor, size: int, options: CallOptions
) -> Page:
    """A page of a job's tasks, all of one step."""
    steps, calls, total = None, 1, None
    if not cursor.child:
        steps, following = await _steps(backend, parent, cursor.children_token, options)
        if not steps:
            after = Cursor(children_token=following) if following else None
            return Page(tasks=[], next=after, total_size=None if following else 0)
        calls += 1
        if not cursor.children_token and not following:
            total = _task_count(steps)
        cursor = replace(cursor, child=steps[0]["stepId"])
    step = backend.names.parse_parent(
        f"{parent.name}/steps/{cursor.child}", "page_token", {"steps"}
    )
    page = await step_page(backend, step, cursor, size, options)
    after = page.next
    if after is None:
        if steps is None:
            steps, following = await _steps(backend, parent, cursor.children_token, options)
            calls += 1
        after = _next_step(steps, following, cursor)
    return replace(page, next=after, total_size=total, calls=calls)


async def queue_page(
    backend: TaskBackend, parent: Parent, cursor: Cursor, size: int, options: CallOptions
) -> Page:
    """A page of a queue's tasks."""
    params = {"farmId": parent.params["farmId"], "queueIds": [parent.params["queueId"]]}
    page, observed = await backend.fetch_page(SEARCH_TASKS, params, cursor.token, size, options)
    total = page.response.get("totalResults")
    most = SEARCH_TASKS.most("totalResults")
    is_cut = total is not None and total >= most
    return Page(
        tasks=[backend.row_task(parent.params, row, observed) for row in page.rows],
        next=Cursor(token=page.next_token) if page.next_token else None,
        total_size=None if is_cut else total,
        incomplete_reason=_cut_reason(most) if is_cut else None,
        lacks=backend.lacks(SEARCH_TASKS),
    )


def _cut_reason(most: int) -> str:
    return f"AWS searches a queue to its {most:,}th task only: list its jobs one by one to see all"


async def _steps(
    backend: TaskBackend, parent: Parent, token: str, options: CallOptions
) -> tuple[Sequence[Mapping[str, Any]], str]:
    """A page of a job's steps, and the token of the next one."""
    page, _ = await backend.fetch_page(
        LIST_STEPS, parent.params, token, LIST_STEPS.max_size, options
    )
    if not all(isinstance(step.get("stepId"), str) for step in page.rows):
        raise errors.UnreadableResponseError(LIST_STEPS.operation)
    return page.rows, page.next_token


def _next_step(steps: Sequence[Mapping[str, Any]], following: str, cursor: Cursor) -> Cursor | None:
    """Where the tasks of the step after the cursor's begin."""
    ids = [step["stepId"] for step in steps]
    if cursor.child not in ids:
        raise refused("stands at a step that the job no longer has: begin without a token")
    position = ids.index(cursor.child) + 1
    if position < len(ids):
        return Cursor(child=ids[position], children_token=cursor.children_token)
    return Cursor(children_token=following) if following else None


def _task_count(steps: Sequence[Mapping[str, Any]]) -> int | None:
    """How many tasks the steps have, as they say themselves; None if one does not say."""
    total = 0
    for step in steps:
        counts: Mapping[str, int] | None = step.get("taskRunStatusCounts")
        if counts is None:
            return None
        total += sum(counts.values())
    return total
