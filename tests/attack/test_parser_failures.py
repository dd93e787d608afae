"""After any exception of a parser, and however slow it is, the next valid version is loaded."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from taskgate_server import reloading
from taskgate_server.reloading import RejectedError, ReloadingFile

SECONDS = 10.0
MARKER = "QUOTED-FROM-THE-FILE"


class PanicException(BaseException):
    """Derives from BaseException alone, as pyo3's does."""


EXCEPTIONS: list[Callable[[], BaseException]] = [
    lambda: RejectedError("cannot be used", MARKER),
    lambda: ValueError(MARKER),
    lambda: OSError(12, MARKER),
    lambda: RecursionError(MARKER),
    lambda: MemoryError(MARKER),
    lambda: UnsupportedAlgorithm(MARKER),
    lambda: StopIteration(MARKER),
    lambda: StopAsyncIteration(MARKER),
    lambda: GeneratorExit(MARKER),
    lambda: asyncio.CancelledError(MARKER),
    lambda: BaseExceptionGroup(MARKER, [ValueError(MARKER)]),
    lambda: PanicException(MARKER),
]
OLD_DEFENCE = OSError | ValueError


@pytest.mark.parametrize("make", EXCEPTIONS, ids=lambda make: type(make()).__name__)
async def test_any_exception_rejects_a_version_and_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[], BaseException]
) -> None:
    def parse(contents: list[bytes]) -> int:
        if contents[0] == b"bad":
            raise make()
        return int(contents[0])

    file = tmp_path / "file"
    file.write_bytes(b"1")
    number = ReloadingFile("number", [file], parse)
    file.write_bytes(b"bad")
    for _ in range(3):
        await asyncio.wait_for(number.check(), SECONDS)
        assert (number.value, number.changes, number.rejected) == (1, 0, 1)
        assert not number.is_current
    assert len(caplog.records) == 1
    assert MARKER not in str(caplog.records[0].__dict__)
    file.write_bytes(b"2")
    await asyncio.wait_for(number.check(), SECONDS)
    assert (number.value, number.changes, number.rejected) == (2, 1, 1)
    assert number.is_current


def test_except_clause_for_common_exceptions_would_miss_most() -> None:
    assert sum(not isinstance(make(), OLD_DEFENCE) for make in EXCEPTIONS) == 9


async def test_files_that_cannot_be_read_are_reported_once_and_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1")
    number = ReloadingFile("number", [file], lambda contents: int(contents[0]))
    steps = ((b"x", 1, 1), (b"2", 2, 1), (b"2", 2, 1), (None, 2, 2), (None, 2, 2), (b"3", 3, 2))
    for content, value, rejected in steps:
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        await number.check()
        assert (number.value, number.rejected) == (value, rejected)
    assert sum("was rejected" in each.message for each in caplog.records) == 2


async def test_version_rejected_for_lack_of_memory_is_retried(
    tmp_path: Path,
) -> None:
    now, is_full = 0.0, True

    def parse(contents: list[bytes]) -> int:
        if is_full and contents[0] == b"2":
            raise OSError(12, "Cannot allocate memory")
        return int(contents[0])

    file = tmp_path / "file"
    file.write_bytes(b"1")
    number = ReloadingFile("number", [file], parse, clock=lambda: now)
    file.write_bytes(b"2")
    await number.check()
    is_full = False
    await number.check()
    assert number.value == 1
    now += reloading.RETRY_SECONDS
    await number.check()
    assert (number.value, number.is_current) == (2, True)


async def test_a_slow_parser_and_a_slow_disk_do_not_stall_the_event_loop(tmp_path: Path) -> None:
    now, go_on = 0.0, threading.Event()

    def parse(contents: list[bytes]) -> int:
        if contents[0] == b"2":
            assert go_on.wait(SECONDS)
        return int(contents[0])

    file = tmp_path / "file"
    file.write_bytes(b"1")
    number = ReloadingFile("number", [file], parse, clock=lambda: now)
    file.write_bytes(b"2")
    checking = asyncio.ensure_future(number.check())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not checking.done()
    seen = [number.is_current]
    # A check that does not end is reported, too: there may be a newer version.
    now += reloading.MAX_UNCHECKED_SECONDS + 1
    seen.append(number.is_current)
    assert seen == [True, False]
    go_on.set()
    await checking
    assert (number.value, number.is_current) == (2, True)

    file.unlink()
    os.mkfifo(file)  # opening it blocks until the first write
    checking = asyncio.ensure_future(number.check())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not checking.done()
    await asyncio.to_thread(file.write_bytes, b"3")
    await checking
    assert number.value == 3


@pytest.mark.bug
async def test_callbacks_run_in_the_event_loop_after_a_new_version_is_active(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1")
    number = ReloadingFile("number", [file], lambda contents: int(contents[0]))
    seen: list[tuple[int, threading.Thread]] = []
    number.on_change.append(lambda: 1 / 0)  # type: ignore[arg-type]  # what it returns is nothing
    number.on_change.append(lambda: seen.append((number.value, threading.current_thread())))
    for content in (b"1", b"x", b"2"):
        file.write_bytes(content)
        await number.check()
    assert seen == [(2, threading.current_thread())]
    assert [each.message for each in caplog.records if each.levelname == "ERROR"][-1] == "bug"
