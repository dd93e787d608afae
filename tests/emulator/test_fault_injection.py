"""Faults and quotas, as boto3 observes them."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError

from taskgate_emulator import Emulator, Fault, ManualClock
from taskgate_emulator.core.faults import KINDS
from taskgate_emulator.seeds.ids import EVERY_PARAMETER_TASK_ID, FARM_ID, JOB_ID, QUEUE_ID, RUN_ID
from taskgate_emulator.seeds.ids import SIMULATE_STEP_ID as STEP_ID

TASK = {
    "farmId": FARM_ID,
    "queueId": QUEUE_ID,
    "jobId": JOB_ID,
    "stepId": STEP_ID,
    "taskId": EVERY_PARAMETER_TASK_ID,
}


def error_of(call: Any, **params: Any) -> tuple[int, str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response: Any = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response


@pytest.mark.parametrize(
    ("kind", "status", "codes"),
    [
        ("throttle", 429, {"ThrottlingException"}),
        ("quota", 402, {"ServiceQuotaExceededException"}),
        ("internal", 500, {"InternalServerErrorException", "InternalServerException"}),
        ("unavailable", 503, {"ServiceUnavailable"}),
    ],
)
def test_error_faults(
    aws: Emulator, deadline: Any, omics: Any, kind: str, status: int, codes: set[str]
) -> None:
    aws.faults.add(kind=kind, seconds=7)
    found = [error_of(deadline.get_task, **TASK), error_of(omics.get_run, id=RUN_ID)]
    assert {each[0] for each in found} == {status}
    assert {each[1] for each in found} == codes
    if kind == "throttle":
        response = found[0][2]
        assert response["retryAfterSeconds"] == 7
        assert response["quotaCode"].startswith("L-")
    aws.faults.clear()
    assert omics.get_run(id=RUN_ID)


def test_rules_choose_by_operation_count_and_time(
    aws: Emulator, deadline: Any, omics: Any, clock: ManualClock
) -> None:
    aws.faults.add(kind="internal", service="omics", operation="Get*", nth=2)
    aws.faults.add(kind="throttle", service="deadline", operation="GetTask", after=10, lasts=5)
    aws.faults.add(kind="unavailable", operation="ListRuns", times=1)
    assert omics.get_run(id=RUN_ID)
    assert error_of(omics.get_run, id=RUN_ID)[0] == 500
    assert omics.get_run(id=RUN_ID)
    assert error_of(omics.list_runs)[0] == 503
    assert omics.list_runs()["items"]
    assert deadline.get_task(**TASK)
    clock.advance(10)
    assert error_of(deadline.get_task, **TASK)[0] == 429
    assert deadline.list_farms()
    clock.advance(5)
    assert deadline.get_task(**TASK)


def test_probability_of_a_fault(aws: Emulator, omics: Any) -> None:
    rule = aws.faults.add(kind="internal", probability=0.5)
    failures = 0
    for _ in range(60):
        try:
            omics.get_run(id=RUN_ID)
        except ClientError:
            failures += 1
    assert 15 < failures < 45
    aws.faults.remove(rule)
    assert omics.get_run(id=RUN_ID)


def test_faults_that_change_the_body(aws: Emulator, deadline: Any) -> None:
    aws.faults.add(kind="unknown_enum", times=1)
    assert deadline.get_task(**TASK)["runStatus"] == "EMULATED_UNKNOWN_WORD"
    aws.faults.add(kind="unknown_union", times=1)
    parameters = deadline.get_task(**TASK)["parameters"]
    assert parameters["Frame"] == {"SDK_UNKNOWN_MEMBER": {"name": "emulatedUnknownMember"}}
    aws.faults.add(kind="garbage", times=1)
    # botocore takes a body that is not JSON for an empty one; only the type of the fault is ours.
    assert deadline.get_task(**TASK).keys() == {"ResponseMetadata"}
    aws.faults.clear()
    assert deadline.get_task(**TASK)["taskId"] == TASK["taskId"]


def impatient(aws: Emulator) -> Any:
    return boto3.Session("any", "any", region_name="us-west-2").client(
        "deadline",
        endpoint_url=aws.endpoint_url,
        config=Config(
            inject_host_prefix=False,
            retries={"total_max_attempts": 1},
            read_timeout=0.3,
        ),
    )


def test_hang_and_latency(aws: Emulator) -> None:
    client = impatient(aws)
    aws.faults.add(kind="hang", times=1)
    with pytest.raises(ReadTimeoutError):
        client.get_task(**TASK)
    aws.faults.add(kind="latency", seconds=0.1, times=1)
    started = time.monotonic()
    assert client.get_task(**TASK)
    assert time.monotonic() - started >= 0.1
    client.close()


@pytest.mark.parametrize("kind", ["hang", "latency"])
def test_an_error_is_delayed_like_any_response(aws: Emulator, kind: str) -> None:
    client = impatient(aws)
    aws.faults.add(kind=kind, seconds=1, times=1)
    with pytest.raises(ReadTimeoutError):
        client.get_task(**{**TASK, "taskId": "task-" + "0" * 32 + "-0"})
    client.close()


def test_connection_is_reset(aws: Emulator, deadline: Any) -> None:
    aws.faults.add(kind="reset", times=1)
    with pytest.raises(HTTPClientError):
        deadline.get_task(**TASK)
    assert deadline.get_task(**TASK)


def test_body_is_cut(aws: Emulator) -> None:
    aws.faults.add(kind="cut", times=1)
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint_url).netloc)
    connection.request("GET", "/2023-10-12/farms", headers={"Authorization": "any"})
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    assert caught.value.partial.startswith(b'{"farms"')
    connection.close()


def test_clock_skew_rejects_signatures(aws: Emulator, deadline: Any) -> None:
    aws.faults.add(kind="clock_skew", seconds=3_600)
    status, code, response = error_of(deadline.get_task, **TASK)
    assert (status, code) == (403, "InvalidSignatureException")
    assert "expired" in response["Error"]["Message"]
    address = urlsplit(aws.endpoint_url).netloc
    connection = http.client.HTTPConnection(address)
    path = "/2023-10-12/farms"
    connection.request("GET", path, headers={"Authorization": "any"})
    unsigned = connection.getresponse()
    unsigned.read()
    assert unsigned.status == 200
    connection.close()


def test_published_rates_are_enforced(connect: Any, clock: ManualClock) -> None:
    with Emulator(clock=clock, quotas="aws") as aws:
        omics, deadline = connect(aws, "omics"), connect(aws, "deadline")
        for _ in range(10):
            omics.get_run(id=RUN_ID)
        assert error_of(omics.get_run, id=RUN_ID)[:2] == (429, "ThrottlingException")
        assert omics.list_runs()["items"]
        clock.advance(0.1)
        assert omics.get_run(id=RUN_ID)
        assert error_of(omics.get_run, id=RUN_ID)[0] == 429
        for _ in range(50):
            deadline.get_task(**TASK)
        deadline.create_farm(displayName="Two")
        status, code, response = error_of(deadline.create_farm, displayName="Three")
        assert (status, code) == (402, "ServiceQuotaExceededException")
        assert response["quotaCode"] == "L-2DEF7E07"


def test_custom_rates_are_enforced(connect: Any, clock: ManualClock, tmp_path: Path) -> None:
    file = tmp_path / "quotas.toml"
    file.write_text('burst_seconds = 2\n[deadline]\n"*" = 2\nGetTask = 0.5\n')
    with Emulator(clock=clock, quotas=file) as aws:
        deadline = connect(aws, "deadline")
        assert deadline.get_task(**TASK)
        _, _, response = error_of(deadline.get_task, **TASK)
        assert response["retryAfterSeconds"] == 2
        for _ in range(4):
            deadline.list_farms()
        assert error_of(deadline.list_farms)[0] == 429


def test_faults_from_a_file(connect: Any, tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("fault:\n  - kind: throttle\n    operation: GetRun\n    times: 1\n")
    with Emulator(faults=file) as aws:
        omics = connect(aws, "omics")
        assert error_of(omics.get_run, id=RUN_ID)[0] == 429
        assert omics.get_run(id=RUN_ID)
    with Emulator(faults=[Fault(kind="quota")]) as aws:
        assert error_of(connect(aws, "omics").get_run, id=RUN_ID)[0] == 402


@pytest.mark.parametrize(
    ("option", "name", "text", "message"),
    [
        ("quotas", "q.toml", "[omics]\nGetNothing = 1\n", "GetNothing"),
        ("quotas", "q.toml", "[omics]\nGetRun = 0\n", "greater than 0"),
        ("quotas", "q.toml", "[s3]\n", "s3"),
        ("quotas", "q.txt", "", "must end in"),
        ("quotas", "q.json", "[1]", "must be a table"),
        ("faults", "f.toml", '[[fault]]\nkind = "flood"\n', "flood"),
        ("faults", "f.toml", '[[fault]]\nkind = "reset"\nchance = 1\n', "chance"),
        ("faults", "f.toml", "[[fault]]\n", "kind"),
        ("faults", "f.yml", "fault: [", "f.yml"),
        ("faults", "f.toml", '[[fault]]\nkind = "reset"\nprobability = 2\n', "from 0 to 1"),
        ("faults", "f.toml", '[[fault]]\nkind = "reset"\nnth = 0\n', "at least 1"),
        ("seed", "s.toml", 'extends = "more"\n', "extends"),
        ("seed", "s.toml", "[[call]]\nservice = 'omics'\noperation = 'GetNone'\n", "GetNone"),
        ("seed", "s.toml", "[[call]]\nservice = 'omics'\n", "operation"),
        (
            "seed",
            "s.toml",
            "[[call]]\nservice='omics'\noperation='GetRun'\nparams={id='7'}\n",
            "ResourceNotFound|does not exist",
        ),
    ],
)
def test_error_of_an_invalid_file_names_it(
    tmp_path: Path, option: str, name: str, text: str, message: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    options: Any = {option: file}
    with pytest.raises(ValueError, match=message) as caught:
        Emulator(**options)
    assert name in str(caught.value)


def test_seed_from_a_file(tmp_path: Path, connect: Any) -> None:
    file = tmp_path / "seed.toml"
    file.write_text(
        """
        [[call]]
        service = "deadline"
        operation = "CreateFarm"
        as = "farm"
        params = { displayName = "Mine" }

        [[call]]
        service = "deadline"
        operation = "CreateQueue"
        params = { farmId = "${farm.farmId}", displayName = "Beauty" }
        """
    )
    with Emulator(seed=file) as aws:
        deadline = connect(aws, "deadline")
        (farm,) = deadline.list_farms()["farms"]
        (queue,) = deadline.list_queues(farmId=farm["farmId"])["queues"]
        assert (farm["displayName"], queue["displayName"]) == ("Mine", "Beauty")
        assert aws.request_count == 2


def test_every_kind_of_fault_is_described() -> None:
    for kind in KINDS:
        assert Fault(kind=kind).kind == kind
