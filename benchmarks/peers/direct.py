"""Peer (a): boto3 in a loop in some threads, no server. Prints what `load.c` prints."""

from __future__ import annotations

import argparse
import itertools
import json
import threading
import time

from benchmarks import workload
from benchmarks.peers import upstream


def main() -> None:
    """Run the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--upstream", required=True)
    arguments.add_argument("--threads", type=int, required=True)
    arguments.add_argument("--warmup", type=float, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    given = arguments.parse_args()
    client = upstream.make_client("deadline", given.upstream, given.threads)
    numbers = itertools.count()
    client.get_task(**workload.task_params(next(numbers)))  # the first one loads the endpoint rules
    begin = time.monotonic() + given.warmup
    end = begin + given.seconds
    total = itertools.count()
    latencies: list[float] = []

    def work() -> None:
        while (sent := time.monotonic()) < end:
            client.get_task(**workload.task_params(next(numbers) % workload.DISTINCT_TASKS))
            next(total)
            if begin <= (now := time.monotonic()) < end:
                latencies.append(now - sent)

    threads = [threading.Thread(target=work) for _ in range(given.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies.sort()
    result = {
        "answered": len(latencies),
        "total": next(total) + 1,
        "seconds": given.seconds,
        "refused": {},
        "lost": 0,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
    }
    print(json.dumps(result))  # noqa: T201  # for the parent


if __name__ == "__main__":
    main()
