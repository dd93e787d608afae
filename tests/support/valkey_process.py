"""A real Valkey or Redis server as a process of its own, and a client of a few lines."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from taskgate_server.tasks.watch.shared_parents import SharedStateUnavailableError
from tests.support.polling import wait_until
from tests.support.ports import free_ports

TIMEOUT_SECONDS = 0.25
UNREACHABLE_PORT = 1
NONCE_BYTES = 12
NONCES = itertools.count()


class ValkeyProcess:
    """The server; it stores nothing on disk, so that a restart is an empty one."""

    def __init__(self) -> None:
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        assert program, ".ci/packages test installs one"
        (self.port,) = free_ports(1)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._command = [program, *options]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._is_listening)

    def _is_listening(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def aclose(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class RespStore:
    """A `Store` with a connection for scripts, and one for messages."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._callbacks: set[Callable[[bytes | None], None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self.calls = 0

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes]) -> Any:
        self.calls += 1
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._lock:
                if self._connection is None:
                    streams = await asyncio.open_connection("127.0.0.1", self._port)
                    self._connection = Connection(*streams)
                connection = self._connection
                try:
                    command = request("EVAL", script, str(len(keys)), *keys, *args)
                    connection.writer.write(command)
                    return await response(connection.reader)
                except BaseException:
                    self._connection = None
                    connection.writer.close()
                    raise
        except (OSError, EOFError, TimeoutError) as error:
            raise SharedStateUnavailableError from error

    def subscribe(
        self, channel: str, callback: Callable[[bytes | None], None]
    ) -> Callable[[], None]:
        self._callbacks.add(callback)
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(channel))
        return lambda: self._callbacks.discard(callback)

    async def _listen(self, channel: str) -> None:
        while True:
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                async with aclosing(Connection(reader, writer)):
                    writer.write(request("SUBSCRIBE", channel))
                    while True:
                        kind, _, message = await response(reader)
                        for callback in list(self._callbacks):
                            callback(message if kind == b"message" else None)
            for callback in list(self._callbacks):
                callback(None)
            await asyncio.sleep(0.1)

    async def aclose(self) -> None:
        """Close both connections; nothing can be reached from now on."""
        self._port = UNREACHABLE_PORT
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._connection is not None:
            await self._connection.aclose()
            self._connection = None


class AesGcm:
    """A `Cipher`."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, content: bytes, context: bytes) -> bytes:
        nonce = next(NONCES).to_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, context)

    def decrypt(self, content: bytes, context: bytes) -> bytes:
        return self._cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], context)


def request(*words: str | bytes) -> bytes:
    """Return a command in RESP, Redis's protocol."""
    texts = [each if isinstance(each, bytes) else each.encode() for each in words]
    parts = [b"*%d\r\n" % len(texts), *(b"$%d\r\n%b\r\n" % (len(each), each) for each in texts)]
    return b"".join(parts)


async def response(reader: asyncio.StreamReader) -> Any:
    """Read a response in RESP."""
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, content = line[:1], line[1:]
    if kind == b"-":
        raise AssertionError(content.decode())
    if kind == b":":
        return int(content)
    if kind == b"$":
        return None if content == b"-1" else (await reader.readexactly(int(content) + 2))[:-2]
    if kind == b"*":
        return None if content == b"-1" else [await response(reader) for _ in range(int(content))]
    return content
