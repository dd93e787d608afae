"""The table of docs/faults.md: each fault of AWS's, and what callers see of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from taskgate_emulator.core.faults import KINDS
from taskgate_emulator.seeds import ids as seed
from tests.support.call_errors import outcome_of
from tests.support.demo_names import JOB_IDS
from tests.support.observed_server import (
    ObservedServer,
    OpenResources,
    leaks,
    observed_server,
    quiet,
)
from tests.support.polling import becomes_true

DOCS = Path(__file__).parents[2] / "docs/faults.md"
AT_A_TIME = 5
"""Rows. More servers that start at once would delay each other beyond the deadlines of calls."""
CALLS = ("read", "write", "log")
OPERATIONS = {
    "read": ("GetTask", seed.RUNNING_TASK_ID),
    "write": ("UpdateFarm", seed.FARM_ID),
    "log": ("GetTask", seed.RUNNING_TASK_ID),
}
EXPIRED, NO_HOST = "expired credentials", "no such host"
SECONDS = {"clock_skew": 3600.0, "latency": 0.3}
TASK = {**JOB_IDS, "stepId": seed.RENDER_STEP_ID, "taskId": seed.PENDING_TASK_ID}


def documented() -> dict[str, list[str]]:
    table = DOCS.read_text().partition("## AWS fails")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[1:]}


@dataclass(frozen=True)
class Seen:
    """What became of a row."""

    cells: list[str]
    before: OpenResources
    after: OpenResources
    recovered: bool


def inject(place: ObservedServer, fault: str) -> None:
    if fault == EXPIRED:
        headers = {"x-amzn-ErrorType": "ExpiredTokenException"}
        body = {"message": "The security token included in the request is expired"}
        for operation in ("GetTask", "UpdateFarm", "ListSteps", "GetJob", "ListTasks", "GetStep"):
            place.aws.respond("deadline", operation, status=403, headers=headers, body=body)
    elif fault != NO_HOST:
        place.aws.faults.add(kind=fault, service="deadline", seconds=SECONDS.get(fault, 1.0))


def clear(place: ObservedServer) -> None:
    place.aws.faults.clear()
    for operation in ("GetTask", "UpdateFarm", "ListSteps", "GetJob", "ListTasks", "GetStep"):
        place.aws.discard("deadline", operation)


def watched(place: ObservedServer, fault: str) -> str:
    """What a watch makes of the fault: `stays open`, or the status that ends it."""
    events = place.watch(20)
    try:
        for event in events:
            if event.HasField("snapshot_end"):
                break
        before_poll = place.aws.request_count
        inject(place, fault)
        place.aws.jobs.move({**TASK, "stepId": seed.COMPOSITE_STEP_ID}, "READY")
        assert becomes_true(lambda: place.aws.request_count > before_poll), (
            "no poll has met the fault"
        )
        clear(place)
        # Changes during the fault are reported after it.
        for event in events:
            if event.HasField("task_change"):
                return "stays open"
    except grpc.RpcError as error:
        return str(error.code().name)
    finally:
        events.cancel()
    return "ended"


def tried(place: ObservedServer, fault: str, name: str) -> tuple[str, int]:
    call: Callable[[], object] = getattr(place, name)
    inject(place, fault)
    before = request_count_of(place, name)
    outcome = outcome_of(call)
    tries = request_count_of(place, name) - before
    clear(place)
    return outcome, tries


def request_count_of(place: ObservedServer, name: str) -> int:
    """Return how many requests of a call AWS has received; a poller makes others."""
    operation, key = OPERATIONS[name]
    return sum(
        request.operation == operation and key in request.raw_path for request in place.aws.requests
    )


def measure(fault: str) -> Seen:
    more = {}
    if fault == NO_HOST:  # `.invalid` never resolves: RFC 2606
        more["TASKGATE_AWS__DEADLINE__ENDPOINT_URL"] = "http://deadline.moon-north-1.invalid"
    with observed_server(**more) as place:
        for name in CALLS:
            outcome_of(getattr(place, name))
        watch = "" if fault == NO_HOST else watched(place, fault)
        assert becomes_true(lambda: quiet(place)), place.left()
        before = place.left()
        cells, recovered = [], True
        for name in CALLS:
            outcome, tries = tried(place, fault, name)
            cells += [outcome] if name == "log" else [outcome, str(tries)]
            works = becomes_true(lambda: fault == NO_HOST or outcome_of(place.read) == "OK")
            recovered = recovered and works
        if fault == NO_HOST:
            watch = outcome_of(lambda: next(place.watch(3))).partition(",")[0]
        return Seen([*cells, watch], before, settled(place, before), recovered)


def settled(place: ObservedServer, before: OpenResources) -> OpenResources:
    """What is open once all is as it was before, or at the last look, if that never comes.

    One look: between two of them the next probe of AWS's endpoint may have begun.
    """
    looks: list[OpenResources] = []

    def is_as_before() -> bool:
        looks.append(place.left())
        return not leaks(before, looks[-1])

    becomes_true(is_as_before)
    return looks[-1]


@pytest.fixture(scope="module")
def seen() -> dict[str, Future[Seen]]:
    """All rows, each with a server of its own: they spend their time waiting, once started."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return {fault: pool.submit(measure, fault) for fault in documented()}


def test_the_table_has_every_fault_of_the_emulator() -> None:
    assert set(documented()) == {*KINDS, EXPIRED, NO_HOST}


@pytest.mark.parametrize("fault", documented())
def test_error_of_each_fault_matches_the_docs(seen: dict[str, Future[Seen]], fault: str) -> None:
    assert seen[fault].result().cells == documented()[fault]


@pytest.mark.parametrize("fault", documented())
def test_fault_leaks_nothing_and_the_next_call_succeeds(
    seen: dict[str, Future[Seen]], fault: str
) -> None:
    result = seen[fault].result()
    assert leaks(result.before, result.after) == [], result
    assert result.recovered


def test_the_check_detects_a_leak() -> None:
    none = OpenResources(threads=10, files=20, tasks=30, rpcs=0, pollers=0, watchers=0, waiting=0)
    more = OpenResources(threads=17, files=26, tasks=31, rpcs=0, pollers=1, watchers=0, waiting=0)
    assert leaks(none, more) == ["pollers", "tasks", "threads"]
    assert leaks(none, none) == []
