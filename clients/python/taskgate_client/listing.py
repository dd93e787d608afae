"""Iterators over all tasks of a parent, which fetch one page after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from taskgate.v1 import task_pb2, task_service_pb2

Request = task_service_pb2.ListTasksRequest
Response = task_service_pb2.ListTasksResponse


class _Pages:
    """The tasks that were fetched but not yet returned, and the request for the next page.

    Args:
        request: for the first page.
    """

    def __init__(self, request: Request) -> None:
        self._request: Request | None = request
        self._tasks: deque[task_pb2.Task] = deque()
        self.total_size: int | None = None
        """Number of tasks of the parent, regardless of the filter; None before the first page, and
        if AWS does not return it."""
        self.incomplete_reason: str | None = None
        """Why the listing omits tasks; known at its end at the latest."""

    def _add(self, request: Request, page: Response) -> None:
        self._tasks.extend(page.tasks)
        if page.HasField("total_size"):
            self.total_size = page.total_size
        if page.HasField("incomplete_reason"):
            self.incomplete_reason = page.incomplete_reason
        request.page_token = page.next_page_token
        self._request = request if page.next_page_token else None


class TaskListing(_Pages, Iterator[task_pb2.Task]):
    """An iterator over the tasks of a parent.

    Args:
        request: for the first page.
        fetch: requests a page; raises CallError.
    """

    def __init__(self, request: Request, fetch: Callable[[Request], Response]) -> None:
        super().__init__(request)
        self._fetch = fetch

    def __next__(self) -> task_pb2.Task:
        """Return the next task, from the next page if need be.

        Raises:
            CallError: the page could not be fetched; the next attempt requests it again.
        """
        while not self._tasks:
            if self._request is None:
                raise StopIteration
            page = self._fetch(self._request)
            self._add(self._request, page)
        return self._tasks.popleft()


class AsyncTaskListing(_Pages, AsyncIterator[task_pb2.Task]):
    """An asynchronous iterator over the tasks of a parent; see `TaskListing`."""

    def __init__(self, request: Request, fetch: Callable[[Request], Awaitable[Response]]) -> None:
        super().__init__(request)
        self._fetch = fetch

    async def __anext__(self) -> task_pb2.Task:
        """Return the next task; see `TaskListing`."""
        while not self._tasks:
            if self._request is None:
                raise StopAsyncIteration
            page = await self._fetch(self._request)
            self._add(self._request, page)
        return self._tasks.popleft()
