"""Takes AWS's events from an SQS queue and passes them on as hints to poll.

AWS delivers events with best effort, so an event is only a reason to poll now, never data.
docs/events.md explains how events get into a queue.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from taskgate_server.config import AwsSettings
from taskgate_server.errors import TaskgateError
from taskgate_server.telemetry.logs import LOG, log_bug
from taskgate_server.upstream.aws_client.sender import AwsResponse, Sender
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import POLLERS, Priority, Share
from taskgate_server.upstream.retries import Backoff, Sleep, retry_info_seconds


class EventUse(StrEnum):
    """What an event is used for; a label of metrics."""

    HINTED = "hinted"
    """It is about a task or a parent, whose pollers poll now."""
    IGNORED = "ignored"
    """It is about anything else."""
    UNREADABLE = "unreadable"
    """Its format is unknown."""
    FOREIGN = "foreign"
    """It is from another AWS account or region than the target."""


WARNINGS: Final = {
    EventUse.UNREADABLE: "a message is not an event of AWS Deadline Cloud or AWS HealthOmics: check"
    " the rule's input, see docs/events.md",
    EventUse.FOREIGN: "an event is from another AWS account or region than the target: check the"
    " rule",
}
"""Logged for the first such event."""


@dataclass(frozen=True, slots=True)
class EventReading:
    """The content of an event."""

    use: EventUse
    name: str = ""
    """Of a task or parent, if it is HINTED."""
    service: str = ""
    account: str = ""
    """Empty if the event has none; so are region and time."""
    region: str = ""
    time: str = ""
    """ISO 8601, to the second."""


@dataclass(frozen=True, slots=True)
class EventOrigin:
    """Account and region of an AWS service of a target."""

    account: str = ""
    """Empty if unknown; so is the region."""
    region: str = ""

    def matches(self, reading: EventReading) -> bool:
        """Return whether an event is from there, as far as both are known."""
        return all(
            not own or not other or own == other
            for own, other in ((self.account, reading.account), (self.region, reading.region))
        )


ReadEvent: TypeAlias = Callable[[str], EventReading]
"""Parses the body of a message."""

OriginOf: TypeAlias = Callable[[str], EventOrigin]
"""Returns account and region of an AWS service of the target, by the service's name."""

Hint: TypeAlias = Callable[[str], None]
"""Takes the name of a task or parent that may have changed."""

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
MAX_MESSAGES: Final = 10
MAX_WAIT_SECONDS: Final = 20

READ_TIMEOUT_SECONDS: Final = MAX_WAIT_SECONDS + 10.0
BACKOFF: Final = Backoff(first_seconds=1.0, max_seconds=60.0)
QUEUE_REGION: Final = re.compile(r"(?:^|\.)sqs\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")


@dataclass(slots=True)
class Lag:
    """The delay of events, for metrics."""

    count: int = 0
    seconds: float = 0.0
    """Sum over all events."""

    def record(self, time: str, now: float) -> None:
        """Record an event by its time, which EventBridge has to the second."""
        try:
            happened = datetime.fromisoformat(time).timestamp()
        except (ValueError, OverflowError):
            return
        self.count += 1
        self.seconds += max(now - happened, 0.0)


class EventQueue:
    """Receives events from one queue while `run` runs.

    Args:
        sender: sends calls to SQS.
        url: of the queue.
        read: parses an event.
        hint: takes the name of each task or parent.
        origin_of: returns where events must be from.
        sleep: waits for seconds.
        random: for jitter.
        wall_clock: seconds since 1970.
    """

    def __init__(  # noqa: PLR0913  # clock and randomness are arguments
        self,
        sender: Sender,
        url: str,
        read: ReadEvent,
        hint: Hint,
        *,
        origin_of: OriginOf = lambda _: EventOrigin(),
        sleep: Sleep = asyncio.sleep,
        random: Random | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.lag = Lag()
        self.uses: Counter[EventUse] = Counter()
        """Events so far, for metrics."""
        self._sender = sender
        self._url = url
        self._read = read
        self._hint = hint
        self._origin_of = origin_of
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311  # jitter is no secret
        self._wall_clock = wall_clock
        self._failures = 0

    async def run(self) -> None:
        """Receive events until cancelled, whatever fails."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sender.connection.run())
            group.create_task(self._receive_forever())

    async def _receive_forever(self) -> None:
        while True:
            try:
                await self._receive()
            except TaskgateError as error:
                await self._back_off(error.reason, retry_info_seconds(error))
            except Exception as error:  # noqa: BLE001  # no response may end the loop
                log_bug(error, queue=self._url)
                await self._back_off("BUG", 0.0)
            else:
                if self._failures:
                    LOG.info("event queue works again", extra={"queue": self._url})
                self._failures = 0

    async def _back_off(self, reason: str, min_seconds: float) -> None:
        self._failures += 1
        if self._failures == 1:
            LOG.warning("event queue fails", extra={"queue": self._url, "reason": reason})
        await self._sleep(BACKOFF.pause(min(self._failures, 10), min_seconds, self._random))

    async def _receive(self) -> None:
        """Wait for messages, handle them, and delete them only then."""
        limits = {"MaxNumberOfMessages": MAX_MESSAGES, "WaitTimeSeconds": MAX_WAIT_SECONDS}
        response = await self._send("ReceiveMessage", limits)
        messages: list[Mapping[str, Any]] = response.value.get("Messages") or []
        for message in messages:
            self._handle(message.get("Body"))
        if messages:
            # A message that SQS fails to delete is received again, which does no harm.
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ]
            await self._send("DeleteMessageBatch", {"Entries": entries})

    async def _send(self, operation: str, params: Mapping[str, Any]) -> AwsResponse:
        requesters = Requesters.single(Share(Priority.POLLER, POLLERS), math.inf)
        return await self._sender.send(operation, {"QueueUrl": self._url, **params}, requesters)

    def _handle(self, body: Any) -> None:
        reading = self._read(body) if isinstance(body, str) else EventReading(EventUse.UNREADABLE)
        use = reading.use
        if use is EventUse.HINTED and not self._origin_of(reading.service).matches(reading):
            use = EventUse.FOREIGN
        self.uses[use] += 1
        if use in WARNINGS and self.uses[use] == 1:
            LOG.warning(WARNINGS[use], extra={"queue": self._url})
        if use is not EventUse.HINTED:
            return
        self.lag.record(reading.time, self._wall_clock())
        try:
            self._hint(reading.name)
        except Exception as error:  # noqa: BLE001  # the other messages must still be handled
            log_bug(error, queue=self._url)


def queue_settings(url: str, aws: AwsSettings) -> AwsSettings:
    """Return the settings for SQS: endpoint, and region if it has one, from the queue's URL."""
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
