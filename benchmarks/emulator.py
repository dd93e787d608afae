"""`make bench-emulator`: how fast the emulator answers on one core, how big and how slow to start.

The emulator runs in a process of its own, pinned to one core; the callers, one raw connection each,
run here on the others. botocore would be slower than what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

TASKS = 10_000
CONNECTIONS = 4
RATE_BAR = 1_500.0
"""GetTask a second."""
MEMORY_BAR = 300.0
"""MiB, with TASKS tasks in one step."""
START_BAR = 1.0
"""Seconds from the command to the first answer."""

_SERVER = f"""
import sys, time
from taskgate_emulator import Emulator
with Emulator() as aws:
    job = aws.jobs.add([{TASKS}])
    ids = job.task({TASKS // 2})
    print(aws.endpoint_url, *ids.values(), flush=True)
    sys.stdin.read()
"""


def main() -> int:
    """Run the command line; return 1 if a bar is missed and --check was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 it is this Python
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None:
        raise RuntimeError("caused by the benchmark")
    url, farm, queue, job, step, task = process.stdout.readline().split()
    start = time.monotonic() - started
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process.pid, {cores[-1]})
    path = f"/2023-10-12/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}"
    rate = _rate(url.removeprefix("http://"), path, options.seconds)
    memory = _resident_mib(process.pid)
    process.terminate()
    process.wait()
    report = {"get_task_per_second": round(rate), "resident_mib": round(memory)}
    sys.stdout.write(json.dumps({**report, "start_seconds": round(start, 2)}) + "\n")
    missed = rate < RATE_BAR or memory > MEMORY_BAR or start > START_BAR
    return 1 if options.check and missed else 0


def _rate(address: str, path: str, seconds: float) -> float:
    until = time.monotonic() + seconds
    counts = [0] * CONNECTIONS

    def call(position: int) -> None:
        connection = HTTPConnection(address)
        while time.monotonic() < until:
            connection.request("GET", path, headers={"Authorization": "any"})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:  # noqa: PLR2004 HTTP's own word for success
                raise RuntimeError(body)
            counts[position] += 1
        connection.close()

    threads = [threading.Thread(target=call, args=(each,)) for each in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _resident_mib(pid: int) -> float:
    pages = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(pages[1]) / 1024 if pages else resource.RLIM_INFINITY


if __name__ == "__main__":
    sys.exit(main())
