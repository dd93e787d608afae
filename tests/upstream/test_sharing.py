"""What is shared and for how long: writes, cached responses, in-call calls."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.aws import model
from taskgate_server.upstream.cache import Entry, ResponseCache, WriteLog
from taskgate_server.upstream.in_flight import InFlightCall, InFlightCalls
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.request import Resource, compile_resource
from tests.support.event_loop import settle

FOREVER = 1e9


def resource_of(service: str, operation: str, **params: str) -> Resource:
    return compile_resource(model.load_service(service).operation_model(operation))(params)


TASK = {"farmId": "f", "queueId": "q", "jobId": "j", "stepId": "s", "taskId": "t"}


@pytest.mark.parametrize(
    ("read", "params", "is_changed"),
    [
        ("GetTask", TASK, True),
        ("ListTasks", TASK, True),
        ("GetStep", TASK, True),
        ("GetJob", TASK, True),
        ("SearchTasks", TASK, True),
        ("ListFarms", {}, True),
        ("GetTask", {**TASK, "taskId": "t2"}, False),
        ("ListTasks", {**TASK, "stepId": "s2"}, False),
        ("GetFarm", {"farmId": "f2"}, False),
    ],
)
def test_a_write_changes_its_resource_and_those_that_contain_it(
    read: str, params: dict[str, str], is_changed: bool
) -> None:
    log = WriteLog(FOREVER)
    log.record(resource_of("deadline", "UpdateTask", **TASK), 5.0)
    assert (log.latest(resource_of("deadline", read, **params)) == 5.0) is is_changed


def test_a_write_changes_the_resources_below_it() -> None:
    log = WriteLog(FOREVER)
    log.record(resource_of("omics", "CancelRun", id="1"), 5.0)
    assert log.latest(resource_of("omics", "GetRunTask", id="1", taskId="2")) == 5.0
    assert log.latest(resource_of("omics", "ListRunTasks", id="1")) == 5.0
    assert log.latest(resource_of("omics", "ListRuns")) == 5.0
    assert log.latest(resource_of("omics", "GetRunTask", id="2", taskId="2")) < 0


def test_a_write_without_a_resource_changes_all() -> None:
    log = WriteLog(FOREVER)
    log.record(resource_of("deadline", "BatchUpdateTask"), 5.0)
    assert log.latest(resource_of("deadline", "GetTask", **TASK)) == 5.0


def test_old_writes_are_forgotten() -> None:
    log = WriteLog(horizon=10)
    log.record(("a",), 100.0)
    log.record(("b",), 111.0)
    assert log.latest(("a",)) < 0
    assert log.latest(("b",)) == 111.0


paths = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)


@given(st.lists(paths, max_size=8), paths)
def test_the_write_log_agrees_with_the_rule(writes: list[Resource], read: Resource) -> None:
    log = WriteLog(FOREVER)
    expected = float("-inf")
    for now, path in enumerate(writes):
        log.record(path, now)
        if path[: len(read)] == read or read[: len(path)] == path:
            expected = now
    assert log.latest(read) == expected


def make_cache(**limits: float) -> ResponseCache[str]:
    values = {"max_entries": 3, "max_bytes": 100, "max_age": 10.0, **limits}
    return ResponseCache(
        max_entries=int(values["max_entries"]),
        max_bytes=int(values["max_bytes"]),
        max_age=values["max_age"],
    )


def test_the_least_recently_used_response_is_evicted_first() -> None:
    cache = make_cache()
    for key in "abc":
        cache.put(key, Entry(key, sent_at=1, size=1), now=1)
    assert cache.get("a", 0)
    cache.put("d", Entry("d", sent_at=1, size=1), now=1)
    assert [key for key in "abcd" if cache.get(key, 0)] == ["a", "c", "d"]


def test_bytes_are_bounded() -> None:
    cache = make_cache()
    cache.put("a", Entry("a", sent_at=1, size=60), now=1)
    cache.put("b", Entry("b", sent_at=1, size=60), now=1)
    assert (len(cache), cache.size) == (1, 60)
    cache.put("c", Entry("c", sent_at=1, size=101), now=1)
    assert cache.get("c", 0) is None
    cache.put("b", Entry("b2", sent_at=2, size=10), now=2)
    assert cache.size == 10


def test_the_age_of_a_response_counts_from_its_call() -> None:
    cache = make_cache()
    cache.put("a", Entry("new", sent_at=5, size=1), now=6)
    cache.put("a", Entry("overtaken", sent_at=4, size=1), now=7)
    assert cache.get("a", not_before=5.1) is None
    entry = cache.get("a", not_before=5)
    assert entry is not None
    assert entry.value == "new"
    cache.put("b", Entry("late", sent_at=5, size=1), now=15.1)
    assert cache.get("b", 0) is None


class Calls:
    """Calls that the test sends and ends."""

    def __init__(self) -> None:
        self.in_flight_calls = InFlightCalls[None, str]()
        self.sent: list[InFlightCall[None, str]] = []
        self.responses: list[asyncio.Future[str]] = []

    async def join(self, not_before: float) -> str:
        call = self.in_flight_calls.find("k", not_before)
        if call is None:
            call = InFlightCall(
                "k",
                None,
                lambda: 0.0,
                lambda ended, _: self.in_flight_calls.finish(ended),
            )
            self.in_flight_calls.start(call)
            call.task = asyncio.create_task(self.send(call))
        share = Share(Priority.INTERACTIVE, "")
        call.join(share, 100.0)
        outcome = await call.wait(share, 100.0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def send(self, call: InFlightCall[None, str]) -> None:
        self.sent.append(call)
        response: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.responses.append(response)
        try:
            call.settle(await response)
        except RuntimeError as error:
            call.settle(error)
        except asyncio.CancelledError:
            self.in_flight_calls.finish(call)
            raise


async def test_equal_requests_share_a_call_that_is_fresh_enough() -> None:
    calls = Calls()
    first = asyncio.create_task(calls.join(0))
    second = asyncio.create_task(calls.join(9))
    await settle()
    assert len(calls.sent) == 1, "it is not sent yet, so it is fresh for both"
    calls.sent[0].sent_at = 10
    third = asyncio.create_task(calls.join(10))
    fourth = asyncio.create_task(calls.join(11))
    await settle()
    assert len(calls.sent) == 2, "the fourth needs one that was sent later"
    calls.responses[0].set_result("old")
    calls.responses[1].set_result("new")
    assert list(await asyncio.gather(first, second, third, fourth)) == ["old", "old", "old", "new"]
    assert len(calls.in_flight_calls) == 0


async def test_an_error_reaches_all_requesters_of_a_call() -> None:
    calls = Calls()
    tasks = [asyncio.create_task(calls.join(0)) for _ in range(3)]
    await settle()
    calls.responses[0].set_exception(RuntimeError("throttled"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["throttled"] * 3
    again = asyncio.create_task(calls.join(0))
    await settle()
    assert len(calls.sent) == 2, "errors are not cached"
    calls.responses[1].set_result("ok")
    assert await again == "ok"


async def test_a_cancelled_requester_leaves_the_call_to_the_others() -> None:
    calls = Calls()
    first = asyncio.create_task(calls.join(0))
    second = asyncio.create_task(calls.join(0))
    await settle()
    first.cancel()
    await settle()
    calls.responses[0].set_result("ok")
    assert await second == "ok"


@pytest.mark.parametrize("sent", [False, True])
async def test_no_later_request_joins_an_abandoned_call(sent: bool) -> None:
    calls = Calls()
    only = asyncio.create_task(calls.join(0))
    await settle()
    if sent:
        calls.sent[0].sent_at = 1
    only.cancel()
    await settle()
    assert calls.responses[0].cancelled() is not sent
    assert len(calls.in_flight_calls) == 0
