"""`make bench-converter`: what it costs to bring a page of 100 tasks from AWS's bytes to gRPC's.

botocore's own parse of the page, which Taskgate does without, is measured in the same run; the
ratio is what counts, since the machine is not always the same. CPU time of one thread, the best of
some rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.parsers import create_parser

from taskgate_server.aws import model
from taskgate_server.aws.fitting import Fitter
from taskgate_server.rpc.handlers import load_operations
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.responses import read_json

ROWS = 100
ROUNDS = 7
BAR = 5.0
"""How many times cheaper than botocore's parse the whole way must be."""

ARN = "arn:aws:sts::111122223333:assumed-role/Artists/mara"
MOMENT = "2026-11-22T10:11:12.123Z"

DEADLINE_ROW = {
    "taskId": "task-0123456789abcdef0123456789abcdef-0",
    "createdAt": MOMENT,
    "createdBy": ARN,
    "runStatus": "RUNNING",
    "targetRunStatus": "READY",
    "failureRetryCount": 0,
    "parameters": {"Frame": {"int": "1001"}, "Out": {"path": "/mnt/shots/042/beauty.1001.exr"}},
    "startedAt": MOMENT,
    "endedAt": MOMENT,
    "updatedAt": MOMENT,
    "updatedBy": ARN,
    "latestSessionActionId": "sessionaction-0123456789abcdef0123456789abcdef-0",
}
OMICS_ROW = {
    "taskId": "6657063",
    "status": "RUNNING",
    "name": "DeepVariant",
    "cpus": 16,
    "cacheHit": False,
    "memory": 64,
    "creationTime": MOMENT,
    "startTime": MOMENT,
    "stopTime": MOMENT,
    "gpus": 1,
    "instanceType": "omics.g5.4xlarge",
}
PAGES: Mapping[tuple[str, str], dict[str, Any]] = {
    ("deadline", "ListTasks"): {"tasks": [DEADLINE_ROW] * ROWS, "nextToken": "next"},
    ("omics", "ListRunTasks"): {"items": [OMICS_ROW] * ROWS, "nextToken": "next"},
}
"""Rows as AWS sends them; Deadline's has 4 timestamps and 2 parameters."""


def cpu_ms(run: Callable[[], object], times: int) -> float:
    """Return the milliseconds of CPU of one run: the best round, which others disturbed least."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(times):
            run()
        best = min(best, (time.thread_time() - began) / times)
    return best * 1000


def measure(spec: ServiceSpec, operation_name: str, page: dict[str, Any]) -> float:
    """Print the costs of one page; return how many times cheaper than botocore's parser it is."""
    body = json.dumps(page).encode()
    operation = load_operations(spec)[operation_name]
    parser = create_parser("rest-json")
    shape: Any = model.load_service(spec.name).operation_model(operation_name).output_shape
    response = {"status_code": 200, "headers": {}, "body": body}

    parse = cpu_ms(lambda: parser.parse(response, shape), 10)
    fit = Fitter().compile(shape)

    def convert() -> bytes:
        value, _ = read_json(body)
        return operation.to_message(fit(value, [])).SerializeToString()

    whole = cpu_ms(convert, 50)
    read = cpu_ms(lambda: read_json(body), 100)
    check = cpu_ms(lambda: fit(page, []), 100)
    print(f"{spec.name} {operation_name}, {ROWS} tasks, {len(body) / 1024:.0f} KiB of JSON")  # noqa: T201  # its output
    print(f"  botocore's parse alone          {parse:8.3f} ms")  # noqa: T201
    print(f"  bytes to serialized message     {whole:8.3f} ms")  # noqa: T201
    print(f"    of it reading JSON            {read:8.3f} ms")  # noqa: T201
    print(f"    of it fitting to the model    {check:8.3f} ms")  # noqa: T201
    print(f"  {parse / whole:.1f} times cheaper; the bar is {BAR:g}")  # noqa: T201
    return parse / whole


def main() -> int:
    """Run the command line; return 1 if a bar is missed and --check was given."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="fail below the bar")
    options = arguments.parse_args()
    gc.disable()
    specs = {spec.name: spec for spec in SERVICES}
    ratios = [measure(specs[name], operation, page) for (name, operation), page in PAGES.items()]
    return 1 if options.check and min(ratios) < BAR else 0


if __name__ == "__main__":
    sys.exit(main())
