"""Peer (a): boto3 in a loop in some threads, no server. Prints what `load.c` prints."""

from __future__ import annotations

import threading

from benchmarks import workload
from benchmarks.peers import calling, upstream


def main() -> None:
    """Run the command line."""
    given = calling.arguments(__doc__)
    client = upstream.make_client("deadline", given.upstream, given.callers)
    client.get_task(**workload.task_params(0))  # the first one loads the endpoint rules
    calls = calling.Calls(given)

    def work() -> None:
        for params in calls.until_end():
            client.get_task(**params)

    threads = [threading.Thread(target=work) for _ in range(given.callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls.print_report()


if __name__ == "__main__":
    main()
