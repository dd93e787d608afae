"""Reads one CloudWatch Logs stream, page by page, through the gateway.

GetLogEvents marks the end of a stream by returning the token that it was sent; an empty page with
another token is not the end:
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions

MAX_LINES_IN_PAGE: Final = 10_000
OPERATION: Final = "GetLogEvents"


class Line(NamedTuple):
    """One line of a log."""

    time: int
    """Milliseconds since 1970."""
    message: str


class Page(NamedTuple):
    """Some lines, and the tokens of the pages after and before them."""

    lines: list[Line]
    forward: str | None
    backward: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a stream."""

    group: str
    stream: str
    start: int = 0
    """First millisecond since 1970 in it."""
    end: int | None = None
    """First millisecond after it; None if it has no end."""

    @property
    def is_empty(self) -> bool:
        """Whether no line can be in it."""
        return self.end is not None and self.start >= self.end

    def has(self, line: Line) -> bool:
        """Return whether a line is in it."""
        return self.start <= line.time and (self.end is None or line.time < self.end)

    def to_params(self) -> dict[str, Any]:
        """Return the parameters of GetLogEvents that select it."""
        params: dict[str, Any] = {"logGroupName": self.group, "logStreamName": self.stream}
        if self.start:
            # AWS: "reduces the chances of empty pages".
            params["startTime"] = self.start
        return params if self.end is None else {**params, "endTime": self.end}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReader:
    """Reads pages through a gateway."""

    gateway: Gateway
    options: CallOptions

    async def page(self, section: Section, params: Mapping[str, Any]) -> Page:
        """Return one page; an empty last one if the stream does not exist.

        Raises:
            errors.TaskgateError: of the call.
        """
        try:
            response = await self.gateway.call(
                OPERATION, {**section.to_params(), **params}, self.options
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


def _line(event: Mapping[str, Any]) -> Line:
    if not isinstance(event["timestamp"], int) or not isinstance(event["message"], str):
        raise TypeError
    return Line(event["timestamp"], event["message"])


class Cursor:
    """A position in a stream, from which it is read forwards.

    Args:
        section: what to read.
        token: where to start; at the head if None.
    """

    def __init__(self, section: Section, token: str | None = None) -> None:
        self._section = section
        self._token = token
        self._latest_time = -1
        self._at_latest_time = 0
        """Lines returned with that time."""
        self._skip = 0

    async def read(self, reader: LogReader, limit: int | None = None) -> tuple[list[Line], bool]:
        """Return the next lines, and whether they are all at present.

        Args:
            reader: reads pages.
            limit: maximum number of lines; None for those of a page.

        Raises:
            errors.TaskgateError: of the call.
        """
        params: dict[str, Any] = {"startFromHead": True}
        if self._token is not None:
            params["nextToken"] = self._token
        if limit is not None and limit + self._skip < MAX_LINES_IN_PAGE:
            params["limit"] = limit + self._skip
        try:
            page = await reader.page(self._section, params)
        except errors.TaskgateError as error:
            if error.code is not StatusCode.INVALID_ARGUMENT or self._token is None:
                raise
            self._drop_token()
            return [], False
        is_all = page.forward is None or page.forward == self._token
        self._token = page.forward or self._token
        return self._new_lines(page.lines), is_all

    def _drop_token(self) -> None:
        """Continue after the returned lines by their time: tokens expire after 24 hours."""
        self._token = None
        self._section = replace(self._section, start=max(self._latest_time, self._section.start))
        self._skip = self._at_latest_time

    def _new_lines(self, lines: list[Line]) -> list[Line]:
        new, self._skip = lines[self._skip :], max(self._skip - len(lines), 0)
        for line in new:
            self._at_latest_time = self._at_latest_time + 1 if line.time == self._latest_time else 1
            self._latest_time = line.time
        return new


async def read_last(reader: LogReader, section: Section, count: int) -> tuple[list[Line], Cursor]:
    """Return the last `count` lines of a stream, and the position after them.

    Raises:
        errors.TaskgateError: of a call.
    """
    params: dict[str, Any] = {"startFromHead": False, "limit": min(count, MAX_LINES_IN_PAGE)}
    page = await reader.page(section, params)
    cursor, lines, sent = Cursor(section, page.forward), page.lines, None
    while len(lines) < count and page.backward not in {None, sent}:
        sent = page.backward
        limit = min(count - len(lines), MAX_LINES_IN_PAGE)
        page = await reader.page(section, {**params, "nextToken": sent, "limit": limit})
        lines = page.lines + lines
    return lines[-count:], cursor
