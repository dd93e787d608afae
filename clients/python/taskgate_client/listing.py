"""All tasks of a parent, page after page."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_client.errors import errors_told

Ask = Callable[[task_service_pb2.ListTasksRequest], task_service_pb2.ListTasksResponse]


class Pages:
    """What has been listed, and what to ask for next. Free of input and output.

    Args:
        request: for the first page.
    """

    def __init__(self, request: task_service_pb2.ListTasksRequest) -> None:
        self._request: task_service_pb2.ListTasksRequest | None = request
        self._tasks: deque[task_pb2.Task] = deque()
        self.total_size: int | None = None
        """How many tasks the parent has, whatever the filter, where AWS tells; known after the
        first page."""
        self.incomplete_reason: str | None = None
        """Why there are tasks that are not listed, once it is known: at the latest at the end."""

    def _take(
        self,
        request: task_service_pb2.ListTasksRequest,
        page: task_service_pb2.ListTasksResponse,
    ) -> None:
        self._tasks.extend(page.tasks)
        if page.HasField("total_size"):
            self.total_size = page.total_size
        if page.HasField("incomplete_reason"):
            self.incomplete_reason = page.incomplete_reason
        request.page_token = page.next_page_token
        self._request = request if page.next_page_token else None


class TaskListing(Pages, Iterator[task_pb2.Task]):
    """An iterator over tasks that asks for a page when it has none left.

    Args:
        request: for the first page.
        ask: gets a page.
    """

    def __init__(self, request: task_service_pb2.ListTasksRequest, ask: Ask) -> None:
        super().__init__(request)
        self._ask = ask

    def __next__(self) -> task_pb2.Task:
        """The next task.

        Raises:
            CallError: its page could not be had. Asking again asks for the same page.
        """
        while not self._tasks:
            if self._request is None:
                raise StopIteration
            with errors_told():
                page = self._ask(self._request)
            self._take(self._request, page)
        return self._tasks.popleft()
