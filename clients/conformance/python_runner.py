"""The runner of the blocking Python client; README.md describes its protocol."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import grpc

from conformance import python_values as values
from taskgate.deadline.v1 import deadline_pb2
from taskgate_client import CallError, Client, TaskWatch, connect

Command = Mapping[str, Any]


class Runner:
    """Runs one command after the other."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._watch: TaskWatch | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            raise RuntimeError("no client is connected")
        return self._client

    def run(self, command: Command) -> dict[str, Any]:
        """Return the outcome of a command."""
        try:
            with ThreadPoolExecutor(1) as thread:
                work = thread.submit(getattr(self, command["do"]), command)
                if "cancel_after" in command:
                    threading.Timer(command["cancel_after"], self._close).start()
                return {"ok": work.result()}
        except CallError as error:
            if "cancel_after" in command and error.code is grpc.StatusCode.CANCELLED:
                return {"cancelled": True}
            return {"error": values.error(error)}
        except grpc.RpcError as error:
            return {"error": values.error(CallError.of(error))}
        except ValueError as error:
            if "cancel_after" in command:  # by gRPC, as the channel is closed
                return {"cancelled": True}
            return {"invalid": str(error)}

    def connect(self, command: Command) -> dict[str, Any]:
        self._close()
        self._client = connect(command["address"], **values.connection(command))
        return {}

    def get_task(self, command: Command) -> Any:
        options = _select(command, "max_age", "timeout") | values.view(command)
        return values.task(self.client.get_task(command["name"], **options))

    def batch_get_tasks(self, command: Command) -> Any:
        return [
            {"error": values.error(each)} if isinstance(each, CallError) else values.task(each)
            for each in self.client.batch_get_tasks(command["names"])
        ]

    def list_tasks(self, command: Command) -> Any:
        listing = self.client.list_tasks(
            command["parent"], **_select(command, "filter", "page_size")
        )
        tasks = [values.task(each) for each in islice(listing, command.get("limit"))]
        return {"tasks": tasks, "total_size": listing.total_size}

    def summarize_tasks(self, command: Command) -> Any:
        return values.summary(self.client.summarize_tasks(command["parent"]))

    def wait_task(self, command: Command) -> Any:
        states = values.states(command.get("states", []))
        response = self.client.wait_task(command["name"], states, **_select(command, "timeout"))
        return {
            "task": values.task(response.task),
            "done": response.done,
            "parent": values.parent_in(response),
        }

    def cancel_task(self, command: Command) -> Any:
        return self._update(self.client.cancel_task, command)

    def retry_task(self, command: Command) -> Any:
        return self._update(self.client.retry_task, command)

    def suspend_task(self, command: Command) -> Any:
        return self._update(self.client.suspend_task, command)

    def batch_update_tasks(self, command: Command) -> Any:
        results = self.client.batch_update_tasks(values.actions(command["updates"]))
        return {
            name: None if error is None else {"error": values.error(error)}
            for name, error in results.items()
        }

    def watch(self, command: Command) -> Any:
        self.close_watch(command)
        self._watch = self.client.watch_tasks(
            command.get("parent") or command["names"],
            **_select(command, "until_settled", "heartbeat_interval", "timeout"),
        )
        return {}

    def next(self, command: Command) -> Any:
        if self._watch is None:
            raise RuntimeError("there is no watch")
        for each in self._watch:
            event = values.event(each)
            if event["event"] not in command.get("skip", ()):
                return event
        return {"event": "none"}

    def close_watch(self, _: Command) -> Any:
        if self._watch is not None:
            self._watch.close()
        return {}

    def read_log(self, command: Command) -> Any:
        options = _select(
            command, "follow", "limit", "tail", "attempt", "heartbeat_interval", "timeout"
        )
        return [line.message for line in self.client.stream_task_logs(command["name"], **options)]

    def get_server_info(self, _: Command) -> Any:
        info = self.client.get_server_info()
        return {"version": info.version, "services": [each.name for each in info.aws_services]}

    def is_serving(self, command: Command) -> Any:
        return self.client.is_serving(command.get("service", ""))

    def get_farm(self, command: Command) -> Any:
        request = deadline_pb2.GetFarmRequest(farm_id=command["farm_id"])
        return {"display_name": self.client.deadline.GetFarm(request).display_name}

    def get_natively(self, command: Command) -> Any:
        request = deadline_pb2.GetTaskRequest(**values.native_ids(command["name"]))
        response = self.client.deadline.GetTask(request)
        return {"run_status": values.run_status(response.run_status)}

    def suspend_natively(self, command: Command) -> Any:
        request = deadline_pb2.UpdateTaskRequest(
            **values.native_ids(command["name"]),
            target_run_status=deadline_pb2.TASK_TARGET_RUN_STATUS_SUSPENDED,
        )
        self.client.deadline.UpdateTask(request)
        return {}

    def upload(self, command: Command) -> Any:
        response = self.client.omics.UploadReadSetPart(values.upload(command["chunks"]))
        return {"checksum": response.checksum}

    def parse_name(self, command: Command) -> Any:
        return values.parsed(command["name"])

    def build_name(self, command: Command) -> Any:
        return str(values.KINDS[command["kind"]](*command["ids"]))

    def _update(self, update: Callable[..., Any], command: Command) -> Any:
        return values.task(update(command["name"], **_select(command, "request_id", "reason")))

    def _close(self) -> None:
        if self._client is not None:
            self.close_watch({})
            self._client.close()


def _select(command: Command, *names: str) -> dict[str, Any]:
    return {name: command[name] for name in names if name in command}


if __name__ == "__main__":
    runner = Runner()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(runner.run(json.loads(line))) + "\n")
        sys.stdout.flush()
