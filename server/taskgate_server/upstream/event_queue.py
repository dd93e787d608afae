"""Push as a hint: AWS's events out of an SQS queue, each of which wakes whoever watches its task.

Delivery is best effort on AWS's side, and nothing here adds a promise: an event is a reason to
look, never news in itself. docs/events.md has how a queue gets the events.
"""

from __future__ import annotations

import asyncio
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
from taskgate_server.telemetry import LOG, log_bug
from taskgate_server.upstream.aws_client.sender import Sender
from taskgate_server.upstream.retries import Backoff, Sleep, told_delay


class EventUse(StrEnum):
    """What became of an event; a label of metrics."""

    HINTED = "hinted"
    """Is about a task or a parent, and wakes its watchers."""
    IGNORED = "ignored"
    """Is about anything else."""
    UNREADABLE = "unreadable"
    """Has a form that is not known."""
    FOREIGN = "foreign"
    """Is of another AWS account or region than the target."""


WARNINGS: Final = {
    EventUse.UNREADABLE: "a message is no event of AWS Deadline Cloud or AWS HealthOmics: see the"
    " rule's input and docs/events.md",
    EventUse.FOREIGN: "an event is of another AWS account or region than the target: see the rule",
}
"""Logged at the first one."""


@dataclass(frozen=True, slots=True)
class EventReading:
    """What an event is about."""

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
    """Where an AWS service of a target is."""

    account: str = ""
    """Empty if it is not known; so is the region."""
    region: str = ""

    def sends(self, reading: EventReading) -> bool:
        """Return whether an event is from there, as far as both are known."""
        return all(
            not own or not other or own == other
            for own, other in ((self.account, reading.account), (self.region, reading.region))
        )


ReadEvent: TypeAlias = Callable[[str], EventReading]
"""Reads the body of a message."""

OriginOf: TypeAlias = Callable[[str], EventOrigin]
"""Returns where an AWS service of the target is, by the service's name."""

Hint: TypeAlias = Callable[[str], None]
"""Told a name that may have changed."""

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html:
# the most that SQS takes of each.
MAX_MESSAGES: Final = 10
MAX_WAIT_SECONDS: Final = 20

READ_TIMEOUT_SECONDS: Final = MAX_WAIT_SECONDS + 10.0
BACKOFF: Final = Backoff(first_seconds=1.0, max_seconds=60.0)
QUEUE_REGION: Final = re.compile(r"(?:^|\.)sqs\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")


@dataclass(slots=True)
class Lag:
    """How late events were, for metrics."""

    count: int = 0
    seconds: float = 0.0
    """Of all together."""

    def note(self, time: str, now: float) -> None:
        """Count an event by its time, which EventBridge has to the second."""
        try:
            happened = datetime.fromisoformat(time).timestamp()
        except (ValueError, OverflowError):
            return
        self.count += 1
        self.seconds += max(now - happened, 0.0)


class EventQueue:
    """Takes events out of one queue, as long as `run` runs.

    Args:
        sender: sends calls to SQS.
        url: the queue's.
        read: returns what an event is about.
        hint: gets the name of each task or parent.
        origin_of: returns where the events must be from.
        sleep: waits for seconds.
        random: for jitter.
        wall_clock: seconds since 1970.
    """

    def __init__(  # noqa: PLR0913  # clock and chance come in as arguments
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
        wanted = {"MaxNumberOfMessages": MAX_MESSAGES, "WaitTimeSeconds": MAX_WAIT_SECONDS}
        response = await self._sender.send("ReceiveMessage", {"QueueUrl": self._url, **wanted})
        messages: list[Mapping[str, Any]] = response.value.get("Messages") or []
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
        reading = self._read(body) if isinstance(body, str) else EventReading(EventUse.UNREADABLE)
        use = reading.use
        if use is EventUse.HINTED and not self._origin_of(reading.service).sends(reading):
            use = EventUse.FOREIGN
        self.uses[use] += 1
        if use in WARNINGS and self.uses[use] == 1:
            LOG.warning(WARNINGS[use], extra={"queue": self._url})
        if use is not EventUse.HINTED:
            return
        self.lag.note(reading.time, self._wall_clock())
        try:
            self._hint(reading.name)
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
