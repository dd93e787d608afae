"""Push as a hint: AWS's events out of an SQS queue, each of which wakes whoever watches its task.

Delivery is best effort on AWS's side, and nothing here adds a promise: an event is a reason to
look, never news in itself. docs/events.md has how a queue gets the events.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from taskgate_server.config import AwsSettings
from taskgate_server.errors import TaskgateError
from taskgate_server.telemetry import LOG, log_bug
from taskgate_server.upstream.retries import Backoff, Sleep, told_delay
from taskgate_server.upstream.sender import Sender

NameIn: TypeAlias = Callable[[str], str | None]
"""The name of the task or parent that an event, as JSON text, is about; None if there is none."""

Hint: TypeAlias = Callable[[str], None]
"""Told a name that may have changed."""

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html:
# the most that SQS takes of each.
MOST_MESSAGES: Final = 10
LONGEST_WAIT_SECONDS: Final = 20

READ_TIMEOUT_SECONDS: Final = LONGEST_WAIT_SECONDS + 10.0
BACKOFF: Final = Backoff(first_seconds=1.0, longest_seconds=60.0)
QUEUE_REGION: Final = re.compile(r"(?:^|\.)sqs\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")


@dataclass(slots=True)
class Lag:
    """How late events were, for metrics."""

    count: int = 0
    seconds: float = 0.0
    """Of all together."""

    def note(self, event: str, now: float) -> None:
        """An event has come, as JSON text. EventBridge tells its time to the second."""
        try:
            happened = datetime.fromisoformat(json.loads(event)["time"]).timestamp()
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return
        self.count += 1
        self.seconds += max(now - happened, 0.0)


class EventQueue:
    """Takes events out of one queue, as long as `run` runs.

    Args:
        sender: sends calls to SQS.
        url: the queue's.
        name_in: what an event is about.
        hint: told that.
        sleep: waits for seconds.
        random: for jitter.
        wall_clock: seconds since 1970.
    """

    def __init__(  # noqa: PLR0913  # clock and chance come in as arguments
        self,
        sender: Sender,
        url: str,
        name_in: NameIn,
        hint: Hint,
        *,
        sleep: Sleep = asyncio.sleep,
        random: Random | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.lag = Lag()
        self.hinted = 0
        """Events so far that were about a task or a parent, for metrics."""
        self.ignored = 0
        """All others."""
        self._sender = sender
        self._url = url
        self._name_in = name_in
        self._hint = hint
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311  # jitter is no secret
        self._wall_clock = wall_clock
        self._failures = 0

    async def run(self) -> None:
        """Takes events until it is cancelled, whatever happens."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sender.connection.run())
            group.create_task(self._take_for_ever())

    async def _take_for_ever(self) -> None:
        while True:
            try:
                await self._take()
            except TaskgateError as error:
                await self._failed(error.reason, told_delay(error))
            except Exception as error:  # noqa: BLE001  # no answer may end it
                log_bug(error, queue=self._url)
                await self._failed("BUG", 0.0)
            else:
                if self._failures:
                    LOG.info("events come again", extra={"queue": self._url})
                self._failures = 0

    async def _failed(self, reason: str, floor: float) -> None:
        self._failures += 1
        if self._failures == 1:
            LOG.warning("events do not come", extra={"queue": self._url, "reason": reason})
        await self._sleep(BACKOFF.pause(min(self._failures, 10), floor, self._random))

    async def _take(self) -> None:
        """Waits for some messages, handles them, and only then deletes them."""
        wanted = {"MaxNumberOfMessages": MOST_MESSAGES, "WaitTimeSeconds": LONGEST_WAIT_SECONDS}
        answer = await self._sender.send("ReceiveMessage", {"QueueUrl": self._url, **wanted})
        messages: list[Mapping[str, Any]] = answer.value.get("Messages") or []
        for message in messages:
            self._handle(message.get("Body"))
        if messages:
            # What SQS does not delete comes again, which does no harm.
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ]
            params = {"QueueUrl": self._url, "Entries": entries}
            await self._sender.send("DeleteMessageBatch", params)

    def _handle(self, body: Any) -> None:
        name = self._name_in(body) if isinstance(body, str) else None
        if name is None:
            self.ignored += 1
            return
        self.hinted += 1
        self.lag.note(body, self._wall_clock())
        try:
            self._hint(name)
        except Exception as error:  # noqa: BLE001  # the others in the batch are not to wait for it
            log_bug(error, queue=self._url)


def queue_settings(url: str, aws: AwsSettings) -> AwsSettings:
    """How SQS is reached: where the queue's URL says, in its region if it tells one."""
    parts = urlsplit(url)
    region = QUEUE_REGION.search(parts.hostname or "")
    return aws.model_copy(
        update={
            "endpoint_url": f"{parts.scheme}://{parts.netloc}",
            "endpoint_urls": {},
            "region": region[1] if region else aws.region,
            "read_timeout_seconds": READ_TIMEOUT_SECONDS,
        }
    )
