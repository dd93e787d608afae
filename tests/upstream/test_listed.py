"""When a list is read in the place of single things."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, cast

from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.in_flight import InFlightCall
from taskgate_server.upstream.listed import ListPlan, Lists
from taskgate_server.upstream.request import Read, make_aws_request, plan_operation
from taskgate_server.upstream.requesters import Requesters

PARAMS = {"id": "7", "taskId": "12"}


class Sender:
    """Answers with pages of two rows."""

    def __init__(self, pages: int) -> None:
        self.asked: list[dict[str, Any]] = []
        self._pages = pages

    async def send(
        self, operation: str, params: dict[str, Any], requesters: Requesters, *, repeatable: bool
    ) -> AwsResponse:
        assert operation == "ListRunTasks"
        assert repeatable
        requesters.on_sent()
        self.asked.append(params)
        page = int(params.get("startingToken", "0"))
        value: dict[str, Any] = {"items": [{"taskId": str(2 * page + row)} for row in range(2)]}
        if page + 1 < self._pages:
            value["nextToken"] = str(page + 1)
        return AwsResponse(value=value, request_id="r", observe_time=0.0, size=100)


def plan() -> ListPlan:
    listing = plan_operation(OMICS, "GetRunTask").listing
    assert listing is not None
    return listing


def make_read(moments: list[float]) -> Read:
    question = make_aws_request("GetRunTask", PARAMS, plan_operation(OMICS, "GetRunTask"))
    return InFlightCall("k", question, lambda: moments.pop(0), lambda *_: None, lambda *_: None)


def test_a_list_tells_what_its_rows_have() -> None:
    assert {"task_id", "status", "name", "start_time", "cache_hit"} <= plan().fields
    assert not {"failure_reason", "status_message", "log_stream"} & plan().fields
    assert plan().parent(PARAMS) == {"id": "7"}
    assert plan().key(PARAMS) == plan().key({**PARAMS, "taskId": "13"})
    assert plan().key(PARAMS) != plan().key({**PARAMS, "id": "8"})


async def test_all_pages_are_one_answer_as_old_as_the_first() -> None:
    sender = Sender(pages=3)
    read = make_read([10.0, 20.0, 30.0])
    answer = await Lists(cast("Any", sender)).read(read, plan())
    assert sorted(answer.value) == [str(number) for number in range(6)]
    assert (read.sent_at, answer.size) == (10.0, 300)
    assert [params.get("startingToken") for params in sender.asked] == [None, "1", "2"]
    assert all(params["id"] == "7" and params["maxResults"] == 100 for params in sender.asked)


async def test_a_list_is_read_where_it_costs_no_more_calls() -> None:
    lists = Lists(cast("Any", Sender(pages=3)))
    assert lists.is_cheaper("k"), "nobody knows yet that it is long"
    await lists.read(make_read([0.0]), plan())
    with ExitStack() as reading:
        for already in range(5):
            assert lists.is_cheaper("k") == (already >= 2)
            reading.enter_context(lists.reading_singly("k"))
    assert not lists.is_cheaper("k")
    assert lists.is_cheaper("another")
