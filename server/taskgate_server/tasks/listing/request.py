"""Validation of a ListTasksRequest, which reports all faults of the request at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import Message
from google.rpc import error_details_pb2

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.tasks.backend import Backends, TaskBackend, TaskView
from taskgate_server.tasks.durations import seconds_of
from taskgate_server.tasks.filters.filter import Filter, compile_filter
from taskgate_server.tasks.listing import pages
from taskgate_server.tasks.listing.pages import Cursor
from taskgate_server.tasks.names import Parent

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000

VIEWS: Final = frozenset(task_pb2.TaskView.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """A valid request for a page of a parent's tasks."""

    backend: TaskBackend
    parent: Parent
    page_size: int
    filter: Filter
    view: TaskView
    max_age: float | None
    cursor: Cursor
    identity: tuple[str, ...]
    """What page tokens are bound to."""


class Faults:
    """Collects the faults of a request, so that one error reports all of them."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def check(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns; None if it finds a fault."""
        try:
            return read()
        except errors.TaskgateError as error:
            for detail in error.details:
                if not isinstance(detail, error_details_pb2.BadRequest):
                    raise
                self._found |= {each.field: each.description for each in detail.field_violations}
            return None

    def raise_any(self) -> None:
        """Raise an error if there was a fault.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with all faults.
        """
        if self._found:
            raise errors.invalid_request(self._found)


def parse_request(request: task_service_pb2.ListTasksRequest, backends: Backends) -> ListRequest:
    """Return the request, validated.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT with all faults.
    """
    faults = Faults()
    parent = faults.check(lambda: backends.parent(request.parent, "parent"))
    size = faults.check(lambda: page_size(request))
    compiled = faults.check(lambda: compile_filter(request.filter))
    view = faults.check(lambda: view_of(request, task_pb2.TASK_VIEW_BASIC))
    max_age = faults.check(lambda: seconds_of(request, "max_age"))
    faults.raise_any()
    assert parent and size and compiled and view  # noqa: S101, PT018  # or there was a fault
    # The parent's name begins with the AWS service.
    identity = (parent[1].name, request.filter, task_pb2.TaskView.Name(view), *backends.scope)
    return ListRequest(
        backend=parent[0],
        parent=parent[1],
        page_size=size,
        filter=compiled,
        view=view,
        max_age=max_age,
        cursor=pages.decode(request.page_token, identity),
        identity=identity,
    )


def page_size(request: task_service_pb2.ListTasksRequest) -> int:
    """Return the maximum number of tasks in the response.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is negative.
    """
    if request.page_size < 0:
        raise errors.invalid_request({"page_size": "must not be negative"})
    return min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def view_of(request: Message, default: TaskView) -> TaskView:
    """Return the view that a request specifies, or the default.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, TaskView has no such number.
    """
    view: TaskView = request.view or default  # type: ignore[attr-defined]  # those that have one
    if view not in VIEWS:
        raise errors.invalid_request({"view": "must be TASK_VIEW_BASIC or TASK_VIEW_FULL"})
    return view
