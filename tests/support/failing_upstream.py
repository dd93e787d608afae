"""An AWS Deadline Cloud of GetTask and BatchGetTask only, which fails on request."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from random import Random
from typing import Any

import grpc

from taskgate.deadline.v1 import deadline_pb2
from taskgate_client import CallError
from taskgate_emulator.seeds import ids as seed

STEP = {
    "farm_id": seed.FARM_ID,
    "queue_id": seed.QUEUE_ID,
    "job_id": seed.JOB_ID,
    "step_id": seed.RENDER_STEP_ID,
}


NOT_FOUND = "ResourceNotFoundException"
MISSING = 1_000_000
"""Tasks with this number or a higher one do not exist."""


def is_missing(task: str) -> bool:
    return task.startswith("task-") and int(task.split("-")[1], 16) >= MISSING


class FailingUpstream(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Knows every task up to `MISSING`, and fails a share of the calls with a fault."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault = ""
        self.share = 0.0
        self.random = Random(7)  # noqa: S311  # the same faults each time
        self.over = threading.Event()

    def fails(self) -> bool:
        return self.random.random() < self.share

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the server has closed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FailingUpstream

    def do_GET(self) -> None:
        task = self.path.rpartition("/")[2]
        if is_missing(task):
            self._send(404, {"message": "no such task"}, NOT_FOUND)
        else:
            self._respond({"taskId": task})

    def do_POST(self) -> None:
        items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["identifiers"]
        error = {"code": NOT_FOUND, "message": "no such task"}
        self._respond(
            {
                "tasks": [item for item in items if not is_missing(item["taskId"])],
                "errors": [{**item, **error} for item in items if is_missing(item["taskId"])],
            }
        )

    def _respond(self, value: dict[str, Any]) -> None:
        fault = self.server.fault if self.server.fails() else ""
        if fault == "throttle":
            self._send(429, {"message": "slow down"}, "ThrottlingException")
        elif fault == "500":
            self._send(500, {"message": "oops"}, "InternalServerErrorException")
        elif fault == "hang":
            self.server.over.wait(60)
            self.close_connection = True
        elif fault == "reset":
            self.close_connection = True
        else:
            self._send(200, value)

    def _send(self, status: int, value: dict[str, Any], error: str = "") -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("x-amzn-RequestId", "r-1")
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def task_id(number: int) -> str:
    return f"task-{number:032x}-0"


def read(stub: Any, number: int, time_limit: float = 10.0) -> str:
    """Return the status code and reason of a read; `OK` for the right response."""
    request = deadline_pb2.GetTaskRequest(task_id=task_id(number), **STEP)
    try:
        response = stub.GetTask(request, timeout=time_limit)
    except grpc.RpcError as error:
        call_error = CallError.of(error)
        return f"{call_error.code.name} {call_error.reason}"
    return "OK" if response.task_id == task_id(number) else "WRONG"
