"""The bytes of all uploads have a bound."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from pathlib import Path

import grpc
import pytest

from taskgate_server.errors import TaskgateError
from taskgate_server.rpc.spool import MAX_MEMORY_BYTES, Spool, directory_fault, disk_errors


def test_one_caller_gets_half_and_all_callers_the_whole() -> None:
    spool = Spool(100)
    with spool.upload("a") as first, spool.upload("b") as second, spool.upload("c") as third:
        first.add(50)
        with pytest.raises(TaskgateError, match="50 bytes for one caller"):
            first.add(1)
        second.add(40)
        third.add(10)
        with pytest.raises(TaskgateError, match="100 bytes for all callers"):
            third.add(1)
        assert spool.size == 100
    assert (spool.size, spool.uploads) == (0, 0)
    assert not spool._by_requester, "no requester is remembered"


def test_a_failed_upload_frees_its_bytes() -> None:
    spool = Spool(100)

    def fail() -> None:
        with spool.upload("a") as upload:
            upload.add(30)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert spool.size == 0


def test_few_uploads_are_in_memory() -> None:
    spool = Spool(2**40)
    assert spool.memory_bytes(0) == 1, "0 would keep all of it in memory"
    spool.uploads = 32
    assert spool.memory_bytes(MAX_MEMORY_BYTES // 32) == MAX_MEMORY_BYTES // 32
    spool.uploads = 33
    assert spool.memory_bytes(MAX_MEMORY_BYTES // 32) == 1


class FaultyFile(io.BytesIO):
    """A file on a disk that fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _: object) -> int:
        raise OSError(self.number, "text of the system", "/secret/path")

    def flush(self) -> None:
        self.write(b"")

    def close(self) -> None:
        self.flush()


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (errno.ENOSPC, grpc.StatusCode.RESOURCE_EXHAUSTED, "SPOOL_FULL"),
        (errno.EDQUOT, grpc.StatusCode.RESOURCE_EXHAUSTED, "SPOOL_FULL"),
        (errno.EROFS, grpc.StatusCode.FAILED_PRECONDITION, "SPOOL_UNUSABLE"),
        (errno.EACCES, grpc.StatusCode.FAILED_PRECONDITION, "SPOOL_UNUSABLE"),
        (errno.ENOENT, grpc.StatusCode.FAILED_PRECONDITION, "SPOOL_UNUSABLE"),
        (errno.EIO, grpc.StatusCode.FAILED_PRECONDITION, "SPOOL_UNUSABLE"),
    ],
)
def test_a_disk_that_fails(number: int, code: grpc.StatusCode, reason: str) -> None:
    spool = Spool(100, lambda _: FaultyFile(number))
    with spool.file(10) as file, pytest.raises(TaskgateError) as raised, disk_errors():
        file.write(b"A")
    assert (raised.value.code, raised.value.reason) == (code, reason)
    assert "TMPDIR" in raised.value.message
    assert "/secret" not in raised.value.message


def test_a_directory_is_checked_at_startup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert not directory_fault(os.environ)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    assert "TMPDIR" in directory_fault(os.environ)
    assert not directory_fault({})


def test_no_directory_is_writable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])
    assert "no temporary directory is writable" in directory_fault({})
