"""Taskgate's client for asyncio: `connect` returns an `AsyncClient`.

from taskgate_client.aio import connect

async with connect("127.0.0.1:50051") as client:
    task = await client.get_task("omics/runs/1234567/tasks/7654321")
    async for event in client.watch_tasks("omics/runs/1234567", until_settled=True):
        ...
"""

from __future__ import annotations

from taskgate_client.aio.client import AsyncClient, connect
from taskgate_client.aio.streams import AsyncTaskLog, AsyncTaskWatch
from taskgate_client.listing import AsyncTaskListing

__all__ = ["AsyncClient", "AsyncTaskListing", "AsyncTaskLog", "AsyncTaskWatch", "connect"]
