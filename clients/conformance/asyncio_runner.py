"""The runner of the asyncio Python client; README.md describes its protocol."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from conformance import python_values as values
from taskgate.deadline.v1 import deadline_pb2
from taskgate_client import CallError
from taskgate_client.aio import AsyncClient, AsyncTaskWatch, connect

Command = Mapping[str, Any]


class Runner:
    """Runs one command after the other."""

    def __init__(self) -> None:
        self._client: AsyncClient | None = None
        self._watch: AsyncTaskWatch | None = None

    @property
    def client(self) -> AsyncClient:
        if self._client is None:
            raise RuntimeError("no client is connected")
        return self._client

    async def run(self, command: Command) -> dict[str, Any]:
        """Return the outcome of a command."""
        try:
            async with asyncio.timeout(command.get("cancel_after")):
                return {"ok": await getattr(self, command["do"])(command)}
        except TimeoutError:
            return {"cancelled": True}
        except CallError as error:
            return {"error": values.error(error)}
        except grpc.RpcError as error:
            return {"error": values.error(CallError.of(error))}
        except ValueError as error:
            return {"invalid": str(error)}

    async def connect(self, command: Command) -> dict[str, Any]:
        if self._client is not None:
            await self.close_watch({})
            await self._client.close()
        self._client = connect(command["address"], **values.connection(command))
        return {}

    async def get_task(self, command: Command) -> Any:
        options = _select(command, "max_age", "timeout") | values.view(command)
        return values.task(await self.client.get_task(command["name"], **options))

    async def batch_get_tasks(self, command: Command) -> Any:
        return [
            {"error": values.error(each)} if isinstance(each, CallError) else values.task(each)
            for each in await self.client.batch_get_tasks(command["names"])
        ]

    async def list_tasks(self, command: Command) -> Any:
        listing = self.client.list_tasks(
            command["parent"], **_select(command, "filter", "page_size")
        )
        tasks: list[Any] = []
        async for each in listing:
            tasks.append(values.task(each))
            if len(tasks) == command.get("limit"):
                break
        return {"tasks": tasks, "total_size": listing.total_size}

    async def summarize_tasks(self, command: Command) -> Any:
        return values.summary(await self.client.summarize_tasks(command["parent"]))

    async def wait_task(self, command: Command) -> Any:
        states = values.states(command.get("states", []))
        options = _select(command, "timeout")
        response = await self.client.wait_task(command["name"], states, **options)
        return {
            "task": values.task(response.task),
            "done": response.done,
            "parent": values.parent_in(response),
        }

    async def cancel_task(self, command: Command) -> Any:
        return await self._update(self.client.cancel_task, command)

    async def retry_task(self, command: Command) -> Any:
        return await self._update(self.client.retry_task, command)

    async def suspend_task(self, command: Command) -> Any:
        return await self._update(self.client.suspend_task, command)

    async def batch_update_tasks(self, command: Command) -> Any:
        results = await self.client.batch_update_tasks(values.actions(command["updates"]))
        return {
            name: None if error is None else {"error": values.error(error)}
            for name, error in results.items()
        }

    async def watch(self, command: Command) -> Any:
        await self.close_watch(command)
        self._watch = self.client.watch_tasks(
            command.get("parent") or command["names"],
            **_select(command, "until_settled", "heartbeat_interval", "timeout"),
        )
        return {}

    async def next(self, command: Command) -> Any:
        if self._watch is None:
            raise RuntimeError("there is no watch")
        async for each in self._watch:
            event = values.event(each)
            if event["event"] not in command.get("skip", ()):
                return event
        return {"event": "none"}

    async def close_watch(self, _: Command) -> Any:
        if self._watch is not None:
            await self._watch.close()
        return {}

    async def read_log(self, command: Command) -> Any:
        options = _select(
            command, "follow", "limit", "tail", "attempt", "heartbeat_interval", "timeout"
        )
        return [
            line.message async for line in self.client.stream_task_logs(command["name"], **options)
        ]

    async def get_server_info(self, _: Command) -> Any:
        info = await self.client.get_server_info()
        return {"version": info.version, "services": [each.name for each in info.aws_services]}

    async def is_serving(self, command: Command) -> Any:
        return await self.client.is_serving(command.get("service", ""))

    async def get_farm(self, command: Command) -> Any:
        request = deadline_pb2.GetFarmRequest(farm_id=command["farm_id"])
        response = await self.client.deadline.GetFarm(request)
        return {"display_name": response.display_name}

    async def get_natively(self, command: Command) -> Any:
        request = deadline_pb2.GetTaskRequest(**values.native_ids(command["name"]))
        response = await self.client.deadline.GetTask(request)
        return {"run_status": values.run_status(response.run_status)}

    async def suspend_natively(self, command: Command) -> Any:
        request = deadline_pb2.UpdateTaskRequest(
            **values.native_ids(command["name"]),
            target_run_status=deadline_pb2.TASK_TARGET_RUN_STATUS_SUSPENDED,
        )
        await self.client.deadline.UpdateTask(request)
        return {}

    async def upload(self, command: Command) -> Any:
        response = await self.client.omics.UploadReadSetPart(values.upload(command["chunks"]))
        return {"checksum": response.checksum}

    async def parse_name(self, command: Command) -> Any:
        return values.parsed(command["name"])

    async def build_name(self, command: Command) -> Any:
        return str(values.KINDS[command["kind"]](*command["ids"]))

    async def _update(self, update: Callable[..., Awaitable[Any]], command: Command) -> Any:
        return values.task(
            await update(command["name"], **_select(command, "request_id", "reason"))
        )


def _select(command: Command, *names: str) -> dict[str, Any]:
    return {name: command[name] for name in names if name in command}


async def main() -> None:
    """One line after the other."""
    runner = Runner()
    while line := await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(await runner.run(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
