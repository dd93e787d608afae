"""All tasks of a parent, page after page, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_client.errors import errors_told
from taskgate_client.listing import Pages

Ask = Callable[[task_service_pb2.ListTasksRequest], Awaitable[task_service_pb2.ListTasksResponse]]


class AsyncTaskListing(Pages, AsyncIterator[task_pb2.Task]):
    """An iterator over tasks that asks for a page when it has none left.

    Args:
        request: for the first page.
        ask: gets a page.
    """

    def __init__(self, request: task_service_pb2.ListTasksRequest, ask: Ask) -> None:
        super().__init__(request)
        self._ask = ask

    async def __anext__(self) -> task_pb2.Task:
        """The next task.

        Raises:
            CallError: its page could not be had. Asking again asks for the same page.
        """
        while not self._tasks:
            if self._request is None:
                raise StopAsyncIteration
            with errors_told():
                page = await self._ask(self._request)
            self._take(self._request, page)
        return self._tasks.popleft()
