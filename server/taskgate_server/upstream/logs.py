"""Lines of one CloudWatch Logs stream, page by page, through the gateway.

GetLogEvents tells the end of a stream by giving back the token that it was sent; an empty page with
another token is not the end:
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.aws_client.sanitizer import clean
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions

MAX_LINES_IN_PAGE: Final = 10_000
OPERATION: Final = "GetLogEvents"


class Line(NamedTuple):
    """One line of a log."""

    time: int
    """Milliseconds since 1970."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a stream."""

    group: str
    stream: str
    start: int = 0
    """The first millisecond since 1970 that is in it."""
    end: int | None = None
    """The first one that is not; None if there is no end."""

    @property
    def is_empty(self) -> bool:
        """Whether no line can be in it."""
        return self.end is not None and self.start >= self.end

    def has(self, line: Line) -> bool:
        """Whether the line is in it."""
        return self.start <= line.time and (self.end is None or line.time < self.end)

    def to_params(self) -> dict[str, Any]:
        """The parameters that choose it."""
        params: dict[str, Any] = {"logGroupName": self.group, "logStreamName": self.stream}
        if self.start:
            # AWS: "reduces the chances of empty pages".
            params["startTime"] = self.start
        return params if self.end is None else {**params, "endTime": self.end}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the gateway is asked."""

    gateway: Gateway
    options: CallOptions

    async def page(self, section: Section, more: Mapping[str, Any]) -> Page:
        """One page of it; an empty last one if there is no such stream.

        Raises:
            errors.TaskgateError: as AWS answers.
        """
        try:
            response = await self.gateway.call(
                OPERATION, {**section.to_params(), **more}, self.options
            )
        except errors.TaskgateError as error:
            if error.code is not StatusCode.NOT_FOUND:
                raise
            return Page([], forward=None, backward=None)
        value = response.value
        try:
            lines = [_line(event) for event in value.get("events") or ()]
        except (KeyError, TypeError, AttributeError):
            raise errors.UnreadableResponseError(OPERATION) from None
        return Page(
            [line for line in lines if section.has(line)],
            forward=value.get("nextForwardToken"),
            backward=value.get("nextBackwardToken"),
        )


class Page(NamedTuple):
    """Some lines, and the tokens of what is after and before them."""

    lines: list[Line]
    forward: str | None
    backward: str | None


def _line(event: Mapping[str, Any]) -> Line:
    if not isinstance(event["timestamp"], int) or not isinstance(event["message"], str):
        raise TypeError
    return Line(event["timestamp"], clean(event["message"]))


class Cursor:
    """A place in a stream, from which it is read forwards.

    Args:
        section: what to read.
        token: where to begin; at the head if None.
    """

    def __init__(self, section: Section, token: str | None = None) -> None:
        self._section = section
        self._token = token
        self._latest = -1
        self._skip = self._at_latest = 0

    async def read(self, reading: Reading, limit: int | None = None) -> tuple[list[Line], bool]:
        """The next lines, and whether that was all for now.

        Args:
            reading: how the gateway is asked.
            limit: the most lines; None for as many as there are in a page.

        Raises:
            errors.TaskgateError: as AWS answers.
        """
        more: dict[str, Any] = {"startFromHead": True}
        if self._token is not None:
            more["nextToken"] = self._token
        if limit is not None and limit + self._skip < MAX_LINES_IN_PAGE:
            more["limit"] = limit + self._skip
        try:
            page = await reading.page(self._section, more)
        except errors.TaskgateError as error:
            if error.code is not StatusCode.INVALID_ARGUMENT or self._token is None:
                raise
            self._forget_token()
            return [], False
        is_all = page.forward is None or page.forward == self._token
        self._token = page.forward or self._token
        return self._new(page.lines), is_all

    def _forget_token(self) -> None:
        """Tokens last for 24 hours. Goes on after the lines that were told, by their time."""
        self._token = None
        self._section = replace(self._section, start=max(self._latest, self._section.start))
        self._skip = self._at_latest

    def _new(self, lines: list[Line]) -> list[Line]:
        told, self._skip = self._skip, max(self._skip - len(lines), 0)
        for line in lines[told:]:
            self._at_latest = self._at_latest + 1 if line.time == self._latest else 1
            self._latest = line.time
        return lines[told:]


async def read_last(reading: Reading, section: Section, count: int) -> tuple[list[Line], Cursor]:
    """The last lines of a stream as it is, and the place after them.

    Args:
        reading: how the gateway is asked.
        section: what to read.
        count: how many lines.

    Raises:
        errors.TaskgateError: as AWS answers.
    """
    more: dict[str, Any] = {"startFromHead": False, "limit": min(count, MAX_LINES_IN_PAGE)}
    page = await reading.page(section, more)
    cursor, lines, sent = Cursor(section, page.forward), page.lines, None
    while len(lines) < count and page.backward not in {None, sent}:
        sent = page.backward
        more = {**more, "nextToken": sent, "limit": min(count - len(lines), MAX_LINES_IN_PAGE)}
        page = await reading.page(section, more)
        lines = page.lines + lines
    return lines[-count:], cursor
