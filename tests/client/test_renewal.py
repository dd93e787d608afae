"""Rotated certificates and tokens of a long-lived client."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_client import (
    CallError,
    ClosedError,
    Snapshot,
    TaskChange,
    Tls,
    Token,
    aio,
    connect,
)
from tests.support.authority import LOOPBACK, Authority
from tests.support.fake_service import (
    RUN,
    FakeTaskService,
    Silence,
    change,
    servicer_of,
    snapshot,
    task,
)

NAME = f"{RUN}/tasks/1"


@pytest.fixture
def fake() -> FakeTaskService:
    fake = FakeTaskService()
    fake.script("GetTask", task_service_pb2.GetTaskResponse(task=task(1)))
    return fake


@dataclass(frozen=True)
class Site:
    """A server with mTLS, whose authority and the client's files can be replaced."""

    fake: FakeTaskService
    folder: Path

    @property
    def tls(self) -> Tls:
        return Tls(
            ca=self.folder / "ca.crt",
            certificate=self.folder / "tls.crt",
            key=self.folder / "tls.key",
        )

    def write(self, authority: Authority) -> None:
        """Replace the client's files."""
        (self.folder / "ca.crt").write_bytes(authority.certificate)
        authority.issue("client").write(self.folder)

    @contextmanager
    def serving(self, authority: Authority, port: int = 0) -> Iterator[int]:
        """Serve with a certificate of an authority, for clients of the same one; yield the port."""
        own = authority.issue("server", *LOOPBACK)
        credentials = grpc.ssl_server_credentials(
            [(own.key, own.certificate)], authority.certificate, require_client_auth=True
        )
        server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(servicer_of(self.fake), server)
        bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
        server.start()
        yield bound
        server.stop(None).wait()


@pytest.fixture
def site(fake: FakeTaskService, tmp_path: Path) -> Site:
    return Site(fake, tmp_path)


def test_certificates_can_be_rotated(site: Site) -> None:
    old, new = Authority("old"), Authority("new")
    site.write(old)
    with ExitStack() as servers:
        port = servers.enter_context(site.serving(old))
        stopped = servers.pop_all()
        with connect(f"127.0.0.1:{port}", tls=site.tls) as client:
            assert client.get_task(NAME).name == NAME
            stopped.close()
            site.write(new)
            servers.enter_context(site.serving(new, port))
            assert client.get_task(NAME).name == NAME


async def test_certificates_of_the_asyncio_client_can_be_rotated(site: Site) -> None:
    old, new = Authority("old"), Authority("new")
    site.write(old)
    with ExitStack() as servers:
        port = servers.enter_context(site.serving(old))
        stopped = servers.pop_all()
        async with aio.connect(f"127.0.0.1:{port}", tls=site.tls) as client:
            assert (await client.get_task(NAME)).name == NAME
            await asyncio.to_thread(stopped.close)
            site.write(new)
            servers.enter_context(site.serving(new, port))
            assert (await client.get_task(NAME)).name == NAME


def test_a_rotation_leaves_watches_open(site: Site, fake: FakeTaskService) -> None:
    authority, may_change = Authority(), threading.Event()

    def events(_: object) -> Iterator[Any]:
        yield from snapshot(task(1), token=b"t1")
        may_change.wait(30)
        yield change(task(1))
        yield Silence()

    fake.script("WatchTasks", events)
    site.write(authority)
    with (
        site.serving(authority) as port,
        connect(f"127.0.0.1:{port}", tls=site.tls) as client,
        client.watch_tasks(RUN) as watch,
    ):
        assert isinstance(next(watch), Snapshot)
        site.write(authority)
        assert client.get_task(NAME).name == NAME
        gc.collect()
        may_change.set()
        assert isinstance(next(watch), TaskChange)
        client.close()
        with pytest.raises(ClosedError):
            next(watch)
        assert fake.cancelled.wait(10)


def test_a_file_that_is_absent_for_a_moment_does_not_matter(site: Site) -> None:
    authority = Authority()
    site.write(authority)
    with (
        site.serving(authority) as port,
        connect(f"127.0.0.1:{port}", tls=site.tls) as client,
    ):
        client.get_task(NAME)
        (site.folder / "ca.crt").unlink()
        assert client.get_task(NAME).name == NAME
        site.write(authority)
        assert client.get_task(NAME).name == NAME


def fail() -> str:
    raise KeyError("no such secret")


@pytest.mark.parametrize("token", [Path("/nonexistent/token"), fail])
async def test_a_token_that_cannot_be_had_is_an_error_at_once(
    site: Site, fake: FakeTaskService, token: Token
) -> None:
    authority = Authority()
    site.write(authority)
    with site.serving(authority) as port:
        address = f"127.0.0.1:{port}"
        with connect(address, tls=site.tls, token=token) as client:
            for call in (
                client.get_task,
                client.wait_task,
                lambda name: next(client.watch_tasks(name)),
            ):
                with pytest.raises(CallError, match="cannot get the token: ") as caught:
                    call(NAME)
                assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
        async with aio.connect(address, tls=site.tls, token=token) as other:
            with pytest.raises(CallError, match="cannot get the token: ") as caught:
                await other.get_task(NAME)
            assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert not fake.requests
