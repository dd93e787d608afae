"""Log lines wait in a bounded queue; what does not fit is dropped and counted."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator

import pytest

from taskgate_server.telemetry.log_writer import LogWriter

LINE = "x" * 99 + "\n"
PIPE_BYTES = 4096


class Pipe:
    """A small pipe without a reader until the test reads it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read_all(self) -> list[str]:
        """Return all lines up to the end of the pipe."""
        with os.fdopen(self.reader, "rb", closefd=False) as reader:
            return reader.read().decode().splitlines(keepends=True)

    def fill(self) -> None:
        os.set_blocking(self.writer, False)
        os.write(self.writer, LINE.encode() * (PIPE_BYTES // len(LINE)))
        rest = PIPE_BYTES % len(LINE)
        os.write(self.writer, b"x" * (rest - 1) + b"\n")
        os.set_blocking(self.writer, True)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)
    os.close(made.writer)


def write_until_dropped(log: LogWriter, kind: str, *, is_audit: bool) -> int:
    """Write until a line is dropped; return how many were queued."""
    before, count = log.dropped[kind], 0
    while log.dropped[kind] == before:
        log.write(f"{kind} {LINE}", is_audit=is_audit)
        count += 1
        assert count < 10_000
    return count - 1


def drain(log: LogWriter, pipe: Pipe) -> list[str]:
    """Read the pipe to its end, while the writer writes what it has."""
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_all()))
    reader.start()
    log.close(20)
    os.close(pipe.writer)
    reader.join()
    pipe.writer = os.open(os.devnull, os.O_WRONLY)
    return lines


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_full_pipe_drops_ordinary_lines_first_and_counts_all(
    pipe: Pipe, *, is_blocking: bool
) -> None:
    pipe.fill()
    os.set_blocking(pipe.writer, is_blocking)
    log = LogWriter(pipe.writer, max_bytes=8192, audit_bytes=4096)
    others = write_until_dropped(log, "other", is_audit=False)
    audits = write_until_dropped(log, "audit", is_audit=True)
    assert others
    assert audits > 4096 / 110 - 2
    assert log.dropped == {"other": 1, "audit": 1}
    lines = drain(log, pipe)
    assert sum(line.startswith("other") for line in lines) == others
    assert sum(line.startswith("audit") for line in lines) == audits
    assert lines.count("2 log lines dropped\n") == 1
    assert all(line.endswith("\n") for line in lines)


def test_nothing_is_dropped_while_the_pipe_is_read(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer)
    for number in range(5000):
        log.write(f"{number}\n")
    assert drain(log, pipe) == [f"{number}\n" for number in range(5000)]
    assert log.dropped == {"other": 0, "audit": 0}


def test_lines_are_counted_when_the_reader_is_gone(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = os.open(os.devnull, os.O_RDONLY)
    log = LogWriter(pipe.writer)
    log.write(LINE * 3)
    log.write(LINE, is_audit=True)
    log.close(20)
    assert log.dropped == {"other": 3, "audit": 1}


def test_writes_are_atomic(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    write = os.write

    def note(descriptor: int, data: bytes) -> int:
        pieces.append(len(data))
        return write(descriptor, data)

    pipe.fill()
    log = LogWriter(pipe.writer)
    log.write(LINE)
    monkeypatch.setattr(os, "write", note)
    for _ in range(200):
        log.write(LINE)
    drain(log, pipe)
    assert sum(pieces) >= 199 * len(LINE)
    assert max(pieces) <= select.PIPE_BUF
    assert len(pieces) < 100


def test_the_end_does_not_wait_for_a_full_pipe(pipe: Pipe) -> None:
    pipe.fill()
    log = LogWriter(pipe.writer)
    log.write(LINE)
    log.close(0.05)
    assert log._thread.is_alive()
    os.read(pipe.reader, PIPE_BYTES)
    log.close(20)
