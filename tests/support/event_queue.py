"""An SQS queue that receives events by a rule, as docs/events.md sets it up."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from tests.support.running_server import REGION

DOCS = (Path(__file__).parents[2] / "docs/events.md").read_text()
PATTERN, POLICY, _ = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
ACCOUNT = "123456789012"


class RuleQueue:
    """A queue, and the rule of an event bus that sends events to it."""

    def __init__(self, endpoint_url: str, account: str = ACCOUNT) -> None:
        self.sqs: Any = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint_url)
        self.events: Any = boto3.client("events", region_name=REGION, endpoint_url=endpoint_url)
        self.url: str = self.sqs.create_queue(QueueName="taskgate-events")["QueueUrl"]
        policy = POLICY.replace("111122223333", account)
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        self.events.put_rule(Name="taskgate-events", EventPattern=PATTERN)
        [statement] = json.loads(policy)["Statement"]
        target = {"Id": "taskgate", "Arn": statement["Resource"]}
        self.events.put_targets(Rule="taskgate-events", Targets=[target])

    def emit(self, kind: str, event: dict[str, Any]) -> None:
        """Put an event on the bus."""
        entry = {
            "Source": event["source"],
            "DetailType": kind,
            "Detail": json.dumps(event["detail"]),
            "Resources": event["resources"],
        }
        assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def message_count(self) -> int:
        """Return how many messages exist, including those that a consumer has received."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        response = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(value) for value in response["Attributes"].values())


class Hints(list[str]):
    """The names that a consumer of events passed on as hints."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def __call__(self, name: str) -> None:
        self.append(name)
        self._more.set()

    async def wait_until(self, is_enough: Callable[[], bool]) -> None:
        """Wait for hints until the condition is true."""
        async with asyncio.timeout(30):
            while not is_enough():
                self._more.clear()
                await self._more.wait()
