"""The upstream of all peers: four AWS operations over HTTP/1.1, as fast as Python can.

Written by hand on asyncio.Protocol, with answers made of prebuilt bytes, since an HTTP framework
would cost more than what is measured. Run as a process of its own; it prints its URL. Control:

    GET /_/reset?latency_ms=30    sets all counts to zero and the latency of what follows
    GET /_/counts                 {"GetTask": 12, "GetRunTask throttled": 3}
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import parse_qs

HEAD = (
    b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
    b"x-amzn-RequestId: 3f2b8c1e-7a55-4f7e-9f0c-2d6a4b1c9e77\r\n%sContent-Length: %d\r\n\r\n"
)

# A task as AWS has it, about 450 bytes: four timestamps, which are what clients spend most on.
TASK = (
    b'"createdAt":"2026-11-20T08:00:00.123000Z","createdBy":"arn:aws:sts::123456789012:'
    b'assumed-role/Artists/sam","runStatus":"RUNNING","failureRetryCount":1,'
    b'"startedAt":"2026-11-20T08:05:00.456000Z","updatedAt":"2026-11-20T08:05:01.789000Z",'
    b'"updatedBy":"arn:aws:iam::123456789012:role/Worker",'
    b'"latestSessionActionId":"sessionaction-0123456789abcdef0123456789abcdef-7",'
    b'"parameters":{"Frame":{"int":"17"},"Camera":{"string":"main"}}}'
)
RUN_TASK = (
    '{{"taskId":"{}","status":"RUNNING","name":"align","cpus":4,"memory":16,"gpus":0,'
    '"creationTime":"2026-11-20T08:00:00.123Z","startTime":"{}","instanceType":"omics.c.xlarge"{}}}'
)
ONLY_SINGLE = ',"logStream":"run/1234567/task/7654321"'
"""What GetRunTask returns in addition to ListRunTasks."""

TASKS_OF_A_RUN = 50
FIRST_TASK_ID = 1000


class Bucket:
    """A quota as AWS has them: calls per second, and as many at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at = time.monotonic()

    def take(self) -> bool:
        """Return whether one more call is within the quota."""
        now = time.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Upstream:
    """What is common to all connections: counts, latency, quotas."""

    def __init__(self, omics_rate: float | None) -> None:
        self.counts: Counter[str] = Counter()
        self.latency = 0.0
        self._buckets = {
            name: Bucket(omics_rate) for name in ("GetRunTask", "ListRunTasks") if omics_rate
        }

    def answer(self, target: str, body: bytes) -> bytes:
        """Return the response to a request."""
        if target.endswith("/batch-get-task"):
            return self._counted("BatchGetTask", _batch(body))
        parts = target.partition("?")[0].split("/")
        if parts[1] == "_":
            return self._control(parts[2], target.partition("?")[2])
        if parts[-2] == "tasks":
            return self._counted("GetTask", b'{"taskId":"' + parts[-1].encode() + b'",' + TASK)
        if parts[1] == "run" and parts[-2] == "task":
            return self._counted("GetRunTask", _run_task(parts[-1], ONLY_SINGLE).encode())
        if parts[1] == "run" and parts[-1] == "task":
            return self._counted("ListRunTasks", _run_tasks())
        return response(404, b'{"message":"the stub has no such operation"}')

    def _counted(self, operation: str, body: bytes) -> bytes:
        self.counts[operation] += 1
        bucket = self._buckets.get(operation)
        if bucket is not None and not bucket.take():
            self.counts[f"{operation} throttled"] += 1
            # HealthOmics sends no Retry-After: its model has only `message`.
            error = b"x-amzn-ErrorType: ThrottlingException\r\n"
            return response(429, b'{"message":"Rate exceeded"}', error)
        return response(200, body)

    def _control(self, verb: str, query: str) -> bytes:
        if verb == "reset":
            self.counts.clear()
            self.latency = float(parse_qs(query).get("latency_ms", ["0"])[0]) / 1000
        return response(200, json.dumps(self.counts).encode())


def response(status: int, body: bytes, headers: bytes = b"") -> bytes:
    """Return the bytes of an HTTP response."""
    reason = {200: b"OK", 404: b"Not Found", 429: b"Too Many Requests"}[status]
    return HEAD % (status, reason, headers, len(body)) + body


def _batch(body: bytes) -> bytes:
    tasks = b",".join(
        json.dumps(item, separators=(",", ":")).encode()[:-1] + b"," + TASK
        for item in json.loads(body)["identifiers"]
    )
    return b'{"tasks":[' + tasks + b'],"errors":[]}'


def _run_task(task_id: str, more: str) -> str:
    # `startTime` is the time of the response, so that its age can be measured.
    return RUN_TASK.format(task_id, datetime.now(UTC).isoformat(), more)


def _run_tasks() -> bytes:
    ids = range(FIRST_TASK_ID, FIRST_TASK_ID + TASKS_OF_A_RUN)
    return ('{"items":[' + ",".join(_run_task(str(task_id), "") for task_id in ids) + "]}").encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection. Clients like boto3 send one request at a time on each."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of a new connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request after the latency."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, start = self._buffer[:end], end + 4
            length = 0
            if not head.startswith(b"GET"):
                lower = head.lower()
                at = lower.find(b"content-length:")
                length = int(lower[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
                if b"expect: 100-continue" in lower and len(self._buffer) == start:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self._buffer) < start + length:
                return
            body, self._buffer = (
                self._buffer[start : start + length],
                self._buffer[start + length :],
            )
            target = head.split(b" ", 2)[1].decode()
            answer = self._upstream.answer(target, body)
            if self._upstream.latency and not target.startswith("/_/"):
                self._loop.call_later(self._upstream.latency, self._transport.write, answer)
            else:
                self._transport.write(answer)


async def serve(omics_rate: float | None) -> None:
    """Serve until killed."""
    upstream = Upstream(omics_rate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201  # for the parent
    await server.serve_forever()


def main() -> None:
    """Run the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--omics-rate", type=float, help="calls/s of each HealthOmics operation")
    gc.disable()  # nothing here makes cycles that matter
    asyncio.run(serve(arguments.parse_args().omics_rate))


if __name__ == "__main__":
    main()
