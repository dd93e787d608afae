"""The bytes of all uploads have a bound."""

from __future__ import annotations

import pytest

from taskgate_server.errors import TaskgateError
from taskgate_server.rpc.spool import MAX_MEMORY_BYTES, Spool


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
