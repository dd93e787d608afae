"""Following a log while it is written, on a clock that the test turns; CloudWatch Logs by moto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_log_pb2
from taskgate_emulator import Emulator
from taskgate_server import app, rpc_registry
from taskgate_server.background_tasks import Supervision
from taskgate_server.errors import Origin, TaskgateError, from_aws
from taskgate_server.tasks.logs.following import OUTAGE_SECONDS
from taskgate_server.tasks.logs.streams import Logs as LogServer
from tests.support.calls import make_call
from tests.support.running_server import settings_for
from tests.support.task_logs import (
    BEGAN,
    QUEUE_GROUP,
    RUN_TASK,
    SESSION,
    TASK,
    Logs,
    Request,
    action,
    run_task,
)

OMICS_STREAM = "run/1/task/2"
STREAM_ARN = f"arn:aws:logs:r:1:log-group:/aws/omics/WorkflowLog:log-stream:{OMICS_STREAM}"


@dataclass
class Story:
    """What happens while a log is followed: each wait of the server is one step of it."""

    aws: Emulator
    logs: Logs
    steps: list[Callable[[], object]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    now: float = 0.0

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        assert len(self.waits) < 200, "the stream does not end"
        if self.steps:
            await asyncio.to_thread(self.steps.pop(0))

    def task(self, status: str, latest: dict[str, Any] | None) -> None:
        """From now on the Deadline task is this."""
        body: dict[str, Any] = {"taskId": "t", "runStatus": status}
        if latest is not None:
            body["latestSessionActionId"] = latest["sessionActionId"]
        self.always("deadline", "GetTask", body)
        if latest is not None:
            self.always("deadline", "GetSessionAction", latest)

    def actions(self, *actions: dict[str, Any]) -> None:
        self.always("deadline", "ListSessionActions", {"sessionActions": list(actions)})

    def run_task(self, status: str, **more: Any) -> None:
        body = run_task(status=status, logStream=STREAM_ARN, stopTime=None, **more)
        self.always("omics", "GetRunTask", body)

    def always(self, service: str, operation: str, body: dict[str, Any], times: int = 1000) -> None:
        self.aws.discard(service, operation)
        self.aws.respond(service, operation, body=body, times=times)

    def write(self, *messages: str, at: float = 15) -> None:
        lines = [(at + index / 1000, message) for index, message in enumerate(messages)]
        self.logs.write(QUEUE_GROUP, SESSION, lines)

    def write_omics(self, *messages: str, at: float = 15) -> None:
        lines = [(at + index / 1000, message) for index, message in enumerate(messages)]
        self.logs.write("/aws/omics/WorkflowLog", OMICS_STREAM, lines)


@pytest.fixture
def story(aws: Emulator, neighbours: str) -> Story:
    return Story(aws, Logs(neighbours))


@asynccontextmanager
async def log_server(story: Story, wall_clock: float) -> AsyncGenerator[LogServer, None]:
    """What serves StreamTaskLogs in a real server, with a clock of the test's."""
    url = story.aws.endpoint_url
    settings = settings_for(url)
    endpoint = story.logs.client.meta.endpoint_url
    aws = settings.aws["omics"].model_copy(update={"logs_endpoint_url": endpoint})
    # The gateways' clocks are real, and no time passes on them: nothing may be kept.
    more = {"aws": {"deadline": aws, "omics": aws}, "cache_max_entries": 0}
    built = app.build(settings_for(url, **more))
    [target] = rpc_registry.load_targets(settings, built.connections, Supervision())
    running = [
        asyncio.ensure_future(each.connection.run()) for _, each in built.connections[0].labelled()
    ]
    try:
        yield replace(
            target.logs,
            sleep=story.sleep,
            clock=lambda: story.now,
            wall_clock=lambda: wall_clock + story.now,
        )
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await built.close()


async def follow(story: Story, request: Any, wall_clock: float = BEGAN + 20) -> list[str]:
    """The lines, with `[attempt/count]` where the stream has a source."""
    received = []
    call = make_call()
    async with (
        log_server(story, wall_clock) as server,
        aclosing(server.stream_task_logs(request, call)) as parts,
    ):
        async for part in parts:
            received += text_of(part)
    return received


def text_of(part: task_log_pb2.StreamTaskLogsResponse) -> list[str]:
    if part.WhichOneof("part") == "source":
        return [f"[{part.source.attempt}/{part.source.attempt_count}]"]
    return [line.message for line in part.lines.lines]


FOLLOW = Request(name=TASK, follow=True)


async def test_log_is_followed_until_the_task_has_settled(story: Story) -> None:
    running, ended = action(3, 10, None), action(3, 10, 20)
    story.task("RUNNING", running)
    story.actions(running)
    story.write("one")
    story.steps = [
        lambda: story.write("two", "three", at=16),
        lambda: None,
        lambda: story.task("SUCCEEDED", ended),
        lambda: story.write("late", at=19),  # CloudWatch Logs shows it only now
    ]
    assert await follow(story, FOLLOW) == ["[1/1]", "one", "two", "three", "late"]
    assert story.waits[:3] == [1.0, 1.0, 1.5]
    assert max(story.waits) <= 5.0
    # The last lines came at the fourth wait; then it was quiet for long enough.
    assert 5.0 <= sum(story.waits[4:]) <= 15.0


async def test_interval_grows_without_new_lines(story: Story) -> None:
    running = action(3, 10, None)
    story.task("RUNNING", running)
    story.actions(running)
    story.steps = [lambda: None] * 8
    story.steps += [lambda: story.write("one"), lambda: story.task("FAILED", action(3, 10, 20))]
    assert await follow(story, FOLLOW) == ["[1/1]", "one"]
    assert story.waits[:9] == [1.5, 2.25, 3.375, *[5.0] * 6]
    assert story.waits[9] == 1.0


async def test_lines_of_other_tasks_in_the_session_are_left_out(story: Story) -> None:
    running, ended = action(3, 10, None), action(3, 10, 20)
    story.task("RUNNING", running)
    story.actions(running)

    def the_next_one_begins() -> None:
        story.write("mine", at=20)
        story.write("not mine", at=22)
        story.task("SUCCEEDED", ended)

    story.steps = [the_next_one_begins]
    assert await follow(story, FOLLOW) == ["[1/1]", "mine"]


async def test_task_that_starts_later_is_followed(story: Story) -> None:
    story.task("READY", None)

    def start() -> None:
        story.task("RUNNING", action(3, 10, None))
        story.actions(action(3, 10, None))
        story.write("one")

    story.steps = [lambda: None, start, lambda: story.task("FAILED", action(3, 10, 20))]
    assert await follow(story, FOLLOW) == ["[0/0]", "[1/1]", "one"]


async def test_task_that_never_starts_ends_the_stream(story: Story) -> None:
    story.task("READY", None)
    story.steps = [lambda: story.task("CANCELED", None)]
    assert await follow(story, FOLLOW) == ["[0/0]"]
    assert len(story.waits) == 1


async def test_next_attempt_is_followed_after_the_last_line_of_the_previous_one(
    story: Story,
) -> None:
    first, second = action(3, 10, None), action(5, 30, None)
    story.task("RUNNING", first)
    story.actions(first)
    story.write("one")

    def retried() -> None:
        story.write("end of one", at=20)
        story.write("another task", at=25)
        story.write("two", at=31)
        story.actions(action(3, 10, 20), second)
        story.task("RUNNING", second)
        # The first attempt is read once more, for its end.
        story.always("deadline", "GetSessionAction", action(3, 10, 20), times=1)
        story.aws.respond("deadline", "GetSessionAction", body=second, times=1000)

    def ended() -> None:
        story.task("SUCCEEDED", action(5, 30, 40))

    story.steps = [retried, ended]
    received = await follow(story, FOLLOW, BEGAN + 40)
    assert received == ["[1/1]", "one", "end of one", "[2/2]", "two"]


async def test_requested_attempt_is_followed_to_its_end(story: Story) -> None:
    story.task("RUNNING", action(3, 10, None))
    story.actions(action(3, 10, None))
    story.write("one")

    def retried() -> None:
        story.task("RUNNING", action(5, 30, None))
        story.always("deadline", "GetSessionAction", action(3, 10, 20))
        story.write("two", at=31)

    story.steps = [retried]
    request = Request(name=TASK, follow=True, attempt=1)
    assert await follow(story, request) == ["[1/1]", "one"]


async def test_tail_and_later_lines(story: Story) -> None:
    running = action(3, 10, None)
    story.task("RUNNING", running)
    story.actions(running)
    story.write("one", "two", "three")
    story.steps = [
        lambda: story.write("four", "five", at=16),
        lambda: story.task("SUCCEEDED", action(3, 10, 20)),
    ]
    request = Request(name=TASK, follow=True, tail=2)
    assert await follow(story, request) == ["[1/1]", "two", "three", "four", "five"]


async def test_limit_ends_the_stream(story: Story) -> None:
    running = action(3, 10, None)
    story.task("RUNNING", running)
    story.actions(running)
    story.write("one", "two")
    story.steps = [lambda: story.write("three", "four", at=16)]
    request = Request(name=TASK, follow=True, limit=3)
    assert await follow(story, request) == ["[1/1]", "one", "two", "three"]


async def test_stream_that_is_created_later(story: Story) -> None:
    story.run_task("RUNNING")
    story.always("omics", "ListRunTasks", {"items": [run_task()]})
    story.steps = [
        lambda: story.write_omics("one"),
        lambda: story.run_task("STOPPING"),
        lambda: story.write_omics("two", at=16),
        lambda: story.run_task("CANCELLED"),
    ]
    request = Request(name=RUN_TASK, follow=True)
    assert await follow(story, request) == ["[1/1]", "one", "two"]


async def test_endless_log_ends_after_the_grace_period(story: Story) -> None:
    story.run_task("COMPLETED")
    story.always("omics", "ListRunTasks", {"items": [run_task()]})
    count = iter(range(1000))
    story.steps = [lambda: story.write_omics(f"line {next(count)}", at=20 + story.now)] * 150
    received = await follow(story, Request(name=RUN_TASK, follow=True))
    assert 55 <= story.now <= 70
    assert len(received) == 1 + next(count)


class Refusing:
    """A gateway to CloudWatch Logs that refuses so many calls."""

    def __init__(self, gateway: Any, refusals: list[TaskgateError]) -> None:
        self._gateway = gateway
        self.refusals = refusals

    async def call(self, *args: Any, **named: Any) -> Any:
        if self.refusals:
            raise replace(self.refusals.pop(0))
        return await self._gateway.call(*args, **named)


def refusal(code: str) -> TaskgateError:
    origin = Origin(
        service="logs", title="logs", domain="logs.amazonaws.com", operation="GetLogEvents"
    )
    response: Any = {"Error": {"Code": code, "Message": "m"}, "retryAfterSeconds": 0}
    return from_aws(response, origin)


THROTTLE = refusal("ThrottlingException")
OUTAGE = refusal("ServiceUnavailableException")
DENIED = refusal("AccessDeniedException")


async def followed_with(
    story: Story, refusals: list[TaskgateError], *, is_followed: bool = True
) -> list[str]:
    story.task("SUCCEEDED", action(3, 10, 20))
    story.actions(action(3, 10, 20))
    story.write("one")
    call = make_call()
    async with log_server(story, BEGAN + 1000) as server:
        refusing: Any = Refusing(server.gateways["deadline"], refusals)
        refused = replace(server, gateways={"deadline": refusing})
        request = Request(name=TASK, follow=is_followed)
        return [
            text async for part in refused.stream_task_logs(request, call) for text in text_of(part)
        ]


@pytest.mark.parametrize("is_followed", [True, False])
async def test_throttles_delay_the_stream(story: Story, *, is_followed: bool) -> None:
    received = await followed_with(story, [THROTTLE] * 100, is_followed=is_followed)
    assert received == ["[1/1]", "one"]
    assert story.waits[:4] == [1.0, 2.0, 4.0, 5.0]
    assert len(story.waits) == 100


async def test_short_outage_delays_a_followed_log(story: Story) -> None:
    assert await followed_with(story, [OUTAGE] * 5) == ["[1/1]", "one"]
    with pytest.raises(TaskgateError) as raised:
        await followed_with(story, [OUTAGE] * 100)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert OUTAGE_SECONDS <= sum(story.waits[5:]) <= OUTAGE_SECONDS + 5


@pytest.mark.parametrize(
    ("error", "is_followed"), [(OUTAGE, False), (DENIED, True), (DENIED, False)]
)
async def test_other_errors_end_the_stream(
    story: Story, error: TaskgateError, *, is_followed: bool
) -> None:
    with pytest.raises(TaskgateError) as raised:
        await followed_with(story, [error], is_followed=is_followed)
    assert raised.value.reason == error.reason
    assert story.waits == []
