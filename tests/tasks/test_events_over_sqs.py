"""From an event to a hint: EventBridge and SQS by moto's server, set up as docs/events.md says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from taskgate_client import connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server import aws_connections
from taskgate_server.config import AwsSettings
from taskgate_server.upstream import event_queue as events
from taskgate_server.upstream.event_queue import EventQueue, EventUse
from tests.support.aws_events import JOB, RUN_ARN, STEP, TASK, deadline_event, omics_event
from tests.support.event_queue import Hints, RuleQueue
from tests.support.polling import wait_until_async
from tests.support.ports import refused_endpoint
from tests.support.running_server import REGION, running_server, settings_for
from tests.support.server_process import running_process

IDS = ("farmId", "queueId", "jobId", "stepId", "taskId")


@pytest.fixture
def queue(neighbours: str, monkeypatch: pytest.MonkeyPatch) -> RuleQueue:
    # Only moto's thread waits for the last long poll of a consumer.
    monkeypatch.setattr(events, "MAX_WAIT_SECONDS", 1)
    return RuleQueue(neighbours)


@asynccontextmanager
async def consuming(
    url: str, hint: Callable[[str], None], **more: Any
) -> AsyncGenerator[EventQueue, None]:
    consumer = aws_connections.make_event_queue(url, AwsSettings(region=REGION), hint)
    for name, value in more.items():
        setattr(consumer, name, value)
    running = asyncio.ensure_future(consumer.run())
    try:
        yield consumer
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_each_event_becomes_a_hint_and_is_deleted(queue: RuleQueue) -> None:
    hints = Hints()
    async with consuming(queue.url, hints) as consumer:
        queue.emit("Task Run Status Change", deadline_event(*IDS, runStatus="READY"))
        queue.emit("Task Run Status Change", deadline_event(*IDS, source="aws.aws.deadline"))
        queue.emit("Step Run Status Change", deadline_event(*IDS[:4]))
        queue.emit("Job Lifecycle Status Change", deadline_event(*IDS[:3]))
        queue.emit("Task Status Change", omics_event("task/8888888", runArn=RUN_ARN, runId="1"))
        queue.emit("Run Status Change", omics_event("run/2101313"))
        await hints.wait_until(lambda: len(hints) == 6)
        assert sorted(hints) == sorted(
            [TASK, TASK, STEP, JOB, "omics/runs/2101313/tasks/8888888", "omics/runs/2101313"]
        )
        await wait_until_async(lambda: queue.message_count() == 0)
        assert consumer.uses == {EventUse.HINTED: 6}


async def test_rule_selects_only_relevant_events(queue: RuleQueue) -> None:
    queue.emit("Budget Threshold Reached", deadline_event("farmId", budgetId="b"))
    queue.emit("Task Run Status Change", {"source": "mine", "resources": [], "detail": {}})
    assert queue.message_count() == 0


async def test_unreadable_messages_are_deleted(queue: RuleQueue) -> None:
    hints = Hints()
    bodies = ["garbage", "[]", "{}", "null", json.dumps({"source": "aws.omics"}), "[" * 50_000]
    for body in bodies:
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    async with consuming(queue.url, hints) as consumer:
        await wait_until_async(lambda: consumer.uses[EventUse.UNREADABLE] == len(bodies))
        queue.emit("Job Run Status Change", deadline_event(*IDS[:3]))
        await hints.wait_until(lambda: hints == [JOB])
        await wait_until_async(lambda: queue.message_count() == 0)
        assert consumer.uses[EventUse.HINTED] == 1


@pytest.mark.bug
async def test_failing_hint_does_not_stop_the_queue(queue: RuleQueue) -> None:
    hints = Hints()

    def failing(name: str) -> None:
        hints(name)
        raise RuntimeError

    async with consuming(queue.url, failing):
        queue.emit("Job Run Status Change", deadline_event(*IDS[:3]))
        queue.emit("Step Run Status Change", deadline_event(*IDS[:4]))
        await hints.wait_until(lambda: len(hints) == 2)
        await wait_until_async(lambda: queue.message_count() == 0)


@pytest.mark.bug
async def test_invalid_response_of_sqs_does_not_stop_the_queue(queue: RuleQueue) -> None:
    hints, pauses = Hints(), list[float]()

    class Odd:
        """A sender whose first answers are no SQS's."""

        def __init__(self, sender: Any) -> None:
            self.connection = sender.connection
            self._sender = sender
            self._answers: list[Any] = [{"Messages": 5}, {"Messages": [None]}, {"Messages": [{}]}]

        async def send(self, operation: str, params: dict[str, Any], requesters: Any) -> Any:
            if self._answers:
                return SimpleNamespace(value=self._answers.pop(0))
            return await self._sender.send(operation, params, requesters)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    consumer = aws_connections.make_event_queue(queue.url, AwsSettings(region=REGION), hints)
    async with consuming(queue.url, hints, _sender=Odd(consumer._sender), _sleep=pause):
        queue.emit("Job Run Status Change", deadline_event(*IDS[:3]))
        await hints.wait_until(lambda: hints == [JOB])
    assert len(pauses) == 3


async def test_queue_that_is_created_later(queue: RuleQueue) -> None:
    hints, pauses = Hints(), list[float]()
    queue.sqs.delete_queue(QueueUrl=queue.url)

    async def made_meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            RuleQueue(queue.sqs.meta.endpoint_url)
            queue.emit("Job Run Status Change", deadline_event(*IDS[:3]))

    async with consuming(queue.url, hints, _sleep=made_meanwhile):
        await hints.wait_until(lambda: hints == [JOB])
    assert len(pauses) == 3
    assert all(seconds <= 4 for seconds in pauses)


def test_a_server_takes_events_and_stops_at_once(queue: RuleQueue, aws: Emulator) -> None:
    endpoint = settings_for(aws.endpoint_url).aws["deadline"]
    both = endpoint.model_copy(update={"events_queue_url": queue.url})
    settings = settings_for(aws.endpoint_url, aws={"deadline": both, "omics": both})
    with running_server(settings) as address, connect(str(address)) as client:
        queue.emit("Job Run Status Change", deadline_event(*IDS[:3]))
        give_up_at = time.monotonic() + 30
        while queue.message_count() and time.monotonic() < give_up_at:
            time.sleep(0.02)  # the consumer is in another thread
        assert queue.message_count() == 0
        assert client.get_server_info().version
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 10


def test_a_server_without_its_queue_serves(aws: Emulator) -> None:
    endpoint = settings_for(aws.endpoint_url).aws["deadline"]
    lost = endpoint.model_copy(update={"events_queue_url": f"{refused_endpoint()}/1/q"})
    settings = settings_for(aws.endpoint_url, aws={"deadline": lost, "omics": endpoint})
    with running_server(settings) as address, connect(str(address)) as client:
        assert client.get_task(f"omics/runs/{seed.RUN_ID}/tasks/{seed.CPU_TASK_ID}").name


def test_queue_in_two_settings_has_one_reader() -> None:
    one = AwsSettings(events_queue_url="https://sqs.us-west-2.amazonaws.com/1/q")
    other = AwsSettings(events_queue_url="https://sqs.us-west-2.amazonaws.com/1/r")

    def count(**aws: AwsSettings) -> int:
        return len(aws_connections.event_queues(aws.values()))

    assert count(deadline=one, omics=one) == 1
    assert count(deadline=one, omics=other) == 2
    assert count(deadline=AwsSettings()) == 0


def test_a_process_does_not_wait_for_its_long_poll(neighbours: str, aws: Emulator) -> None:
    queue = RuleQueue(neighbours)
    with running_process(aws, TASKGATE_AWS__OMICS__EVENTS_QUEUE_URL=queue.url) as server:
        queue.emit("Job Run Status Change", deadline_event(*IDS[:3]))
        give_up_at = time.monotonic() + 30
        while queue.message_count() and time.monotonic() < give_up_at:
            time.sleep(0.02)  # the consumer is in another process
        assert queue.message_count() == 0
        stopping = time.monotonic()
        server.process.terminate()
        assert server.process.wait(30) == 0
    assert time.monotonic() - stopping < events.MAX_WAIT_SECONDS / 2
