from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core.state import ACCOUNT_ID, Account

GROUP, STREAM = "/aws/deadline/farm/queue", "session-1"


def test_log_lines_are_read_with_boto3(aws: Emulator, connect: Any, clock: ManualClock) -> None:
    logs = connect(aws, "logs")

    def write(account: Account) -> None:
        for number in range(25):
            moment = account.now + timedelta(seconds=number)
            account.write_log(GROUP, STREAM, moment, f"line {number}")

    aws.edit(write)
    where = {"logGroupName": GROUP, "logStreamName": STREAM, "startFromHead": True}
    page = logs.get_log_events(**where, limit=10)
    assert [event["message"] for event in page["events"]] == [f"line {n}" for n in range(10)]
    assert page["events"][0]["timestamp"] == int(clock().timestamp() * 1_000)
    rest = logs.get_log_events(**where, limit=100, nextToken=page["nextForwardToken"])["events"]
    assert [event["message"] for event in rest] == [f"line {n}" for n in range(10, 25)]
    aws.edit(write)
    assert len(logs.get_log_events(**where)["events"]) == 50
    with pytest.raises(ClientError) as caught:
        logs.get_log_events(logGroupName="/none", logStreamName="none")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert aws.requests[-1].operation == "GetLogEvents"


def test_log_lines_are_restored_from_the_state_file(tmp_path: Any, connect: Any) -> None:
    clock = ManualClock()
    with Emulator(clock=clock, state=tmp_path / "state") as aws:
        aws.edit(lambda account: account.write_log(GROUP, STREAM, account.now, "kept"))
    with Emulator(clock=clock, state=tmp_path / "state") as aws:
        events = connect(aws, "logs").get_log_events(logGroupName=GROUP, logStreamName=STREAM)
        assert [event["message"] for event in events["events"]] == ["kept"]


def test_rule_delivers_events_to_a_queue(aws: Emulator, connect: Any, clock: ManualClock) -> None:
    events, sqs = connect(aws, "events"), connect(aws, "sqs")
    url = sqs.create_queue(QueueName="changes")["QueueUrl"]
    assert url.startswith(aws.endpoint_url)
    arn = f"arn:aws:sqs:us-west-2:{ACCOUNT_ID}:changes"
    events.put_rule(Name="tasks", EventPattern=json.dumps({"source": ["aws.deadline"]}))
    events.put_targets(Rule="tasks", Targets=[{"Id": "1", "Arn": arn}])
    detail = {"taskId": "task-1", "runStatus": "READY"}

    def emit(account: Account) -> None:
        for source in ("aws.omics", "aws.deadline"):
            account.emit_event(source, "Task Run Status Change", detail, at=account.now)

    aws.edit(emit)
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    (event,) = [json.loads(message["Body"]) for message in messages]
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "Task Run Status Change",
        "source": "aws.deadline",
        "account": ACCOUNT_ID,
        "time": clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-west-2",
        "resources": [],
        "detail": detail,
    }
    assert [event.source for event in aws.events] == ["aws.omics", "aws.deadline"]


def test_long_poll_does_not_block_other_requests(aws: Emulator, connect: Any, omics: Any) -> None:
    sqs = connect(aws, "sqs")
    url = sqs.create_queue(QueueName="empty")["QueueUrl"]
    started = time.monotonic()
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 used here alone

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=2)
        assert omics.list_runs()["items"]
        assert not waiting.done()
        assert "Messages" not in waiting.result()
    assert time.monotonic() - started < 20


def test_sts_returns_the_account(aws: Emulator, connect: Any) -> None:
    assert connect(aws, "sts").get_caller_identity()["Account"] == ACCOUNT_ID


def test_logs_can_be_throttled(aws: Emulator, connect: Any) -> None:
    aws.faults.add(kind="throttle", service="logs", times=1)
    logs = connect(aws, "logs")
    with pytest.raises(ClientError) as caught:
        logs.describe_log_groups()
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    groups = logs.describe_log_groups()["logGroups"]
    assert "/aws/omics/WorkflowLog" in [group["logGroupName"] for group in groups]
