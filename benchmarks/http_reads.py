"""`make bench-http`: cached reads in JSON over HTTP/1.1, compared with FastAPI and boto3.

Both serve GetTask of one task to the same callers, in turn, on a core that the load does not use.
FastAPI calls the upstream for each request, which answers at once. Taskgate's response is at most
`max_age` old.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import machine, workload
from benchmarks.load import Generator, Load, build
from tests.support.ports import free_port

BAR = 1.5
"""How many times as many RPCs per second as FastAPI."""

CALLERS = 64
WARMUP_SECONDS = 1.0


def json_record(number: int) -> bytes:
    """Return the request for a task for Taskgate."""
    body = json.dumps(workload.task_params(number)).encode()
    head = (
        f"POST {workload.GET_TASK} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure(rounds: int, seconds: float) -> dict[str, list[Load]]:
    """Return the runs of both servers."""
    runs: dict[str, list[Load]] = {"taskgate": [], "fastapi": []}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = Generator(build(home), WARMUP_SECONDS, seconds)
        upstream = stack.enter_context(machine.stub()).address
        machine.query_stub(upstream, "reset?latency_ms=0")
        port = free_port()
        settings = {"TASKGATE_HTTP_PORT": str(port)}
        stack.enter_context(machine.taskgate(upstream, home / "log", settings))
        web = stack.enter_context(machine.peer("web", upstream, machine.WEB_PYTHON))
        write = workload.write_records
        sides = {
            "taskgate": (f"127.0.0.1:{port}", write(home / "json", [1], json_record)),
            "fastapi": (web.address, write(home / "http", [1], workload.http_record)),
        }
        for number in range(rounds):
            for name in sides if number % 2 == 0 else reversed(sides):
                address, requests = sides[name]
                path = workload.GET_TASK
                runs[name].append(generator.run(address, CALLERS, requests, path, http=True))
    return runs


def main() -> int:
    """Run the command line; return 1 if the bar is missed and --check was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"fail below {BAR} times FastAPI")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    options = parser.parse_args()
    machine.take_core()
    runs = measure(options.rounds, options.seconds)
    rates = {name: [load.rate for load in loads] for name, loads in runs.items()}
    ratio = statistics.median(
        taskgate / fastapi
        for taskgate, fastapi in zip(rates["taskgate"], rates["fastapi"], strict=True)
    )
    failed = sum(load.failed for loads in runs.values() for load in loads)
    for name, loads in runs.items():
        p50 = statistics.median(load.p50_ms for load in loads)
        rate = statistics.median(rates[name])
        sys.stdout.write(f"{name}: {rate:.0f} RPC/s, median latency {p50:.1f} ms\n")
    sys.stdout.write(f"{ratio:.2f} times as many RPC/s, {failed} failed calls\n")
    return 1 if options.check and (ratio < BAR or failed) else 0


if __name__ == "__main__":
    sys.exit(main())
