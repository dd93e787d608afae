"""What an event is about: AWS's own examples, and garbage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.config import AwsSettings
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.tasks.events import read_event
from taskgate_server.upstream.aws_client import credentials
from taskgate_server.upstream.aws_client import factory as clients
from taskgate_server.upstream.aws_client.sender import Sender
from taskgate_server.upstream.event_queue import EventOrigin, EventQueue, EventUse, queue_settings
from tests.support.aws_events import IDS, JOB, RUN_ARN, STEP, TASK, deadline_event, omics_event


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (deadline_event(*IDS, runStatus="SUCCEEDED", previousRunStatus="RUNNING"), TASK),
        (deadline_event(*IDS, source="aws.aws.deadline", runStatus="READY"), TASK),
        (deadline_event("farmId", "queueId", "jobId", "stepId", taskRunStatus="SUCCEEDED"), STEP),
        (deadline_event("farmId", "queueId", "jobId", lifecycleStatus="CREATE_COMPLETE"), JOB),
        (
            omics_event("task/8888888", runArn=RUN_ARN, runId="1"),
            "omics/runs/2101313/tasks/8888888",
        ),
        (omics_event("task/8888888", runId="7654321"), "omics/runs/7654321/tasks/8888888"),
        (omics_event("run/2101313", runId="1234567"), "omics/runs/2101313"),
        # Of no interest.
        (deadline_event("farmId", budgetId="b"), None),
        (deadline_event("farmId", "queueId"), None),
        (omics_event("workflow/1234567"), None),
        ({"source": "aws.s3", "detail": IDS}, None),
        # Broken.
        (deadline_event(*IDS) | {"detail": None}, None),
        (deadline_event(*IDS) | {"detail": [1]}, None),
        (deadline_event(*IDS, farmId="farm-x"), None),
        (deadline_event("farmId", "queueId", "jobId", stepId=5, taskId={"a": 1}), JOB),
        (omics_event("task/"), None),
        (omics_event("task/x", runArn=RUN_ARN), None),
        (omics_event("task/1"), None),
        (
            omics_event("task/1", runArn=RUN_ARN.replace("run", "task"), runId="6"),
            "omics/runs/6/tasks/1",
        ),
    ],
)
def test_event_refers_to_a_name(event: dict[str, Any], name: str | None) -> None:
    reading = read_event(json.dumps(event))
    assert (reading.name or None) == name
    assert (reading.use is EventUse.HINTED) == (name is not None)


EVENTS = [
    (deadline_event(*IDS), TASK),
    (omics_event("run/2101313", runId="1"), "omics/runs/2101313"),
]


def sns(message: Any) -> dict[str, Any]:
    topic = "arn:aws:sns:us-west-2:123456789012:t"
    return {"Type": "Notification", "TopicArn": topic, "Message": json.dumps(message)}


WRAPPERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "SNS": sns,
    "SNS twice": lambda event: sns(sns(event)),
    "detail alone": lambda event: event["detail"],
    "detail alone by SNS": lambda event: sns(event["detail"]),
    "detail as text": lambda event: event | {"detail": json.dumps(event["detail"])},
    "detail alone as text": lambda event: json.dumps(event["detail"]),
    "detail as text by SNS": lambda event: sns(event | {"detail": json.dumps(event["detail"])}),
    "list of one": lambda event: [event],
    "no source": lambda event: {"detail": event["detail"]},
}


@pytest.mark.parametrize(("event", "name"), EVENTS, ids=["deadline", "omics"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_events_are_unwrapped(wrapper: str, mark: str, event: dict[str, Any], name: str) -> None:
    reading = read_event(mark + json.dumps(WRAPPERS[wrapper](event)))
    assert (reading.use, reading.name) == (EventUse.HINTED, name)


@pytest.mark.parametrize(
    ("body", "use"),
    [
        ("", EventUse.UNREADABLE),
        ('"hello"', EventUse.UNREADABLE),
        ("[" * 100_000, EventUse.UNREADABLE),
        ("{}", EventUse.UNREADABLE),
        (json.dumps([deadline_event(*IDS)] * 2), EventUse.UNREADABLE),
        (json.dumps({"Type": "SubscriptionConfirmation", "Token": "t"}), EventUse.UNREADABLE),
        (json.dumps(sns("hello")), EventUse.UNREADABLE),
        (json.dumps(deadline_event(*IDS) | {"detail": "text"}), EventUse.UNREADABLE),
        (json.dumps({"source": "aws.omics", "detail": {}}), EventUse.UNREADABLE),
        (json.dumps({"source": "aws.s3", "detail": {}}), EventUse.IGNORED),
        (json.dumps(sns(omics_event("workflow/1234567"))), EventUse.IGNORED),
        (json.dumps(deadline_event("farmId", budgetId="b")), EventUse.IGNORED),
    ],
)
def test_unreadable_and_ignored_events_are_distinguished(body: str, use: EventUse) -> None:
    assert read_event(body).use is use


OWN = {"account": "123456789012", "region": "us-west-2", "time": "2026-11-30T00:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "use"),
    [
        ({}, EventUse.HINTED),
        ({"account": "999999999999"}, EventUse.FOREIGN),
        ({"region": "eu-west-1"}, EventUse.FOREIGN),
    ],
)
@pytest.mark.parametrize("event", [event for event, _ in EVENTS], ids=["deadline", "omics"])
@pytest.mark.parametrize("wrap", [dict, sns], ids=["plain", "SNS"])
def test_events_of_other_accounts_and_regions_are_ignored(
    event: dict[str, Any],
    changes: dict[str, str],
    use: EventUse,
    wrap: Callable[[dict[str, Any]], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    hints: list[str] = []
    origins = {
        each: EventOrigin(account="123456789012", region="us-west-2")
        for each in ("deadline", "omics")
    }
    queue = EventQueue(
        cast("Sender", None), "queue", read_event, hints.append, origin_of=origins.__getitem__
    )
    for _ in range(3):
        queue._handle(json.dumps(wrap(event | OWN | changes)))
    assert queue.uses == {use: 3}
    assert len(hints) == (3 if use is EventUse.HINTED else 0)
    assert queue.lag.count == len(hints)
    assert len([each for each in caplog.records if "another AWS account" in each.message]) == (
        0 if use is EventUse.HINTED else 1
    )


def test_unknown_origin_excludes_no_events() -> None:
    reading = read_event(json.dumps(omics_event("run/2101313") | OWN))
    assert EventOrigin().matches(reading)
    assert EventOrigin(region="us-west-2").matches(reading)
    assert not EventOrigin(region="eu-west-1").matches(reading)
    detail = read_event(json.dumps(omics_event("run/2101313")["detail"]))
    assert (detail.account, detail.region) == ("123456789012", "us-west-2"), "from the ARN"


@pytest.mark.parametrize(
    ("variable", "role", "account"),
    [
        ("", "", ""),
        ("111122223333", "", "111122223333"),
        ("111122223333", "arn:aws:iam::222233334444:role/r", "222233334444"),
    ],
)
def test_account_of_a_client(
    variable: str, role: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID", variable)
    monkeypatch.setattr(
        credentials,
        "_role_credentials",
        lambda *_: Credentials("a", "b", account_id="000000000000"),
    )
    settings = AwsSettings(region="us-west-2", role_arn=role or None)
    assert clients.make_client(OMICS, settings).account == account


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(list(IDS.values())),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from([*IDS, "arn", "runArn", "runId", "source"]), inner)
    ),
)


@given(
    st.sampled_from(["aws.deadline", "aws.aws.deadline", "aws.omics", "", None]), JSON, st.text()
)
def test_invalid_events_have_no_name(source: str | None, detail: Any, text: str) -> None:
    event = json.dumps({"source": source, "detail": detail})
    for body in (event, event[: len(text)], text, json.dumps(detail), "[" * 100_000):
        name = read_event(body).name
        assert not name or name.startswith(("deadline/farms/farm-", "omics/runs/"))


@pytest.mark.parametrize(
    ("url", "endpoint", "region"),
    [
        (
            "https://sqs.eu-west-1.amazonaws.com/1/q",
            "https://sqs.eu-west-1.amazonaws.com",
            "eu-west-1",
        ),
        (
            "https://vpce-1-a.sqs.us-gov-west-1.vpce.amazonaws.com/1/q",
            "https://vpce-1-a.sqs.us-gov-west-1.vpce.amazonaws.com",
            "us-gov-west-1",
        ),
        ("http://127.0.0.1:5000/1/q", "http://127.0.0.1:5000", "us-west-2"),
    ],
)
def test_endpoint_and_region_of_a_queue(url: str, endpoint: str, region: str) -> None:
    settings = queue_settings(url, AwsSettings(region="us-west-2", read_timeout_seconds=3))
    assert (settings.endpoint_url, settings.region) == (endpoint, region)
    assert settings.read_timeout_seconds > 20
