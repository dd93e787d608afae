"""Callers who say which fields they need, over the wire: a list then answers for single reads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate_client import CallError
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.aws_requests import operations_since
from tests.support.running_server import running_server, settings_for

MASK = ("taskgate-read-mask", "task_id, status,name")
TASK = omics_pb2.GetRunTaskRequest(id=seed.RUN_ID, task_id=seed.FAILED_RUN_TASK_ID)


@pytest.fixture
def omics(aws: Emulator) -> Iterator[omics_pb2_grpc.OmicsServiceStub]:
    settings = settings_for(aws.endpoint_url, default_max_age_seconds=60)
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        yield omics_pb2_grpc.OmicsServiceStub(channel)


def task_ids(omics: omics_pb2_grpc.OmicsServiceStub) -> list[str]:
    return [item.task_id for item in omics.ListRunTasks(_list()).items]


def _list() -> omics_pb2.ListRunTasksRequest:
    return omics_pb2.ListRunTasksRequest(id=seed.RUN_ID)


def test_one_list_answers_for_all_tasks_of_a_run(
    aws: Emulator, omics: omics_pb2_grpc.OmicsServiceStub
) -> None:
    ids = task_ids(omics)
    assert len(ids) > 2
    since = aws.request_count

    def get(task_id: str) -> omics_pb2.GetRunTaskResponse:
        request = omics_pb2.GetRunTaskRequest(id=seed.RUN_ID, task_id=task_id)
        return omics.GetRunTask(request, metadata=(MASK,))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(get, ids))
    assert [answer.task_id for answer in answers] == ids
    assert all(answer.name and answer.status for answer in answers)
    assert operations_since(aws, since) == ["ListRunTasks"]


def test_who_needs_more_than_the_list_has_gets_the_task_itself(
    aws: Emulator, omics: omics_pb2_grpc.OmicsServiceStub
) -> None:
    since = aws.request_count
    assert not omics.GetRunTask(TASK, metadata=(MASK,)).failure_reason
    mask = ("taskgate-read-mask", "status,failure_reason")
    assert omics.GetRunTask(TASK, metadata=(mask,)).failure_reason
    assert operations_since(aws, since) == ["ListRunTasks", "GetRunTask"]
    # And once the whole is known, it is what a part is taken from.
    assert omics.GetRunTask(TASK, metadata=(MASK,)).failure_reason
    assert len(operations_since(aws, since)) == 2


def test_a_task_that_the_list_lacks_is_asked_for_by_itself(
    aws: Emulator, omics: omics_pb2_grpc.OmicsServiceStub
) -> None:
    since = aws.request_count
    request = omics_pb2.GetRunTaskRequest(id=seed.RUN_ID, task_id="404")
    with pytest.raises(grpc.RpcError) as raised:
        omics.GetRunTask(request, metadata=(MASK,))
    assert CallError.of(raised.value).code is grpc.StatusCode.NOT_FOUND
    assert operations_since(aws, since) == ["ListRunTasks", "GetRunTask"]


def test_a_list_that_is_forbidden_leaves_the_single_call(
    aws: Emulator, omics: omics_pb2_grpc.OmicsServiceStub
) -> None:
    aws.fail("omics", "ListRunTasks", "AccessDeniedException")
    assert omics.GetRunTask(TASK, metadata=(MASK,)).task_id == seed.FAILED_RUN_TASK_ID


@pytest.mark.parametrize("mask", ["", "status,colour", "taskId"])
def test_a_mask_with_other_fields_is_refused(
    omics: omics_pb2_grpc.OmicsServiceStub, mask: str
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        omics.GetRunTask(TASK, metadata=(("taskgate-read-mask", mask),))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations[0].field == "taskgate-read-mask"


def test_a_long_list_is_not_read_for_one_task_again(
    aws: Emulator, omics: omics_pb2_grpc.OmicsServiceStub
) -> None:
    pages = [
        {"items": [_row(page * 10 + number) for number in range(10)], "nextToken": f"p{page + 1}"}
        for page in range(3)
    ]
    del pages[-1]["nextToken"]
    fresh = (MASK, ("taskgate-max-age", "0"))

    def get(number: int) -> str:
        request = omics_pb2.GetRunTaskRequest(id="7", task_id=str(number))
        return omics.GetRunTask(request, metadata=fresh).task_id

    for page in pages:
        aws.respond("omics", "ListRunTasks", body=page)
    since = aws.request_count
    assert get(12) == "12"
    assert operations_since(aws, since) == ["ListRunTasks"] * 3
    aws.respond("omics", "GetRunTask", body=_row(12))
    since = aws.request_count
    assert get(12) == "12"
    assert operations_since(aws, since) == ["GetRunTask"], "now it is known how long the list is"


def _row(number: int) -> dict[str, object]:
    return {"taskId": str(number), "status": "RUNNING", "name": "align"}
