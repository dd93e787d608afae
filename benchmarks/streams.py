"""`make bench-streams`: 2 GiB through Taskgate in each direction; speed, and what memory it took.

A server process between a client and an HTTP server that only makes and counts bytes, all on
loopback. Memory is the peak of the server's process, from the kernel, above its peak before.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from taskgate.omics.v1 import omics_pb2
from taskgate_client import Client, connect

MIB = 1024 * 1024
PIECE = b"A" * MIB
BAR_MIB = 32.0
STORE = "1234567890"


def respond(connection: socket.socket, size: int) -> None:
    """Respond to a download with `size` bytes, or receive an upload of as many."""
    request = connection.recv(65536)
    headers = "HTTP/1.1 200 OK\r\nx-amzn-RequestId: r-1\r\nContent-Length: {}\r\n\r\n"
    if request.startswith(b"GET"):
        connection.sendall(headers.format(size).encode())
        for _ in range(size // MIB):
            connection.sendall(PIECE)
        return
    left = size - len(request.partition(b"\r\n\r\n")[2])
    while left:
        left -= len(connection.recv(MIB)) or left
    connection.sendall(headers.format(16).encode() + b'{"checksum":"x"}')


@contextmanager
def upstream(size: int) -> Iterator[str]:
    """Run an HTTP server in a thread; yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # closed: the benchmark is over
            while True:
                connection, _ = listener.accept()
                with connection:
                    respond(connection, size)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@contextmanager
def server(url: str) -> Iterator[tuple[int, str]]:
    """Run a server process; yield its pid and address."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-west-2",
        **{f"TASKGATE_AWS__{name}__ENDPOINT_URL": url for name in ("DEADLINE", "OMICS")},
        "TASKGATE_LISTEN_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "taskgate_server.cli", "serve"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address, ready = "", 0
        for line in process.stderr or ():
            entry = json.loads(line)
            address = entry.get("address", address)
            ready += entry["message"] == "AWS service ready"
            if ready == 2:  # noqa: PLR2004  # both
                break
        # The log is not read any more, and a full pipe would stop the server.
        threading.Thread(target=process.communicate, daemon=True).start()
        yield process.pid, address
    finally:
        process.kill()
        process.wait()


def peak_mib(pid: int) -> float:
    """Return the peak memory of the process in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123  # procfs
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def download(client: Client, size: int) -> None:
    """Read a read set of `size` bytes."""
    request = omics_pb2.GetReadSetRequest(id=STORE, sequence_store_id=STORE, part_number=1)
    got = sum(len(message.payload) for message in client.omics.GetReadSet(request))
    if got != size:
        raise RuntimeError(f"{got} bytes of {size} arrived")


def upload(client: Client, size: int) -> None:
    """Send a part of `size` bytes."""

    def messages() -> Iterator[omics_pb2.UploadReadSetPartRequest]:
        yield omics_pb2.UploadReadSetPartRequest(
            sequence_store_id=STORE,
            upload_id=STORE,
            part_source=omics_pb2.READ_SET_PART_SOURCE_SOURCE1,
            part_number=1,
        )
        for _ in range(size // MIB):
            yield omics_pb2.UploadReadSetPartRequest(payload=PIECE)

    client.omics.UploadReadSetPart(messages())


def measure(name: str, move: Callable[[Client, int], None], size: int) -> float:
    """Print speed and memory of one direction, with a server of its own; return the memory."""
    with upstream(size) as url, server(url) as (pid, address), connect(address) as client:
        client.get_server_info()
        before, began = peak_mib(pid), time.monotonic()
        move(client, size)
        seconds, grown = time.monotonic() - began, peak_mib(pid) - before
    speed = size / MIB / seconds
    print(f"{name:9} {size / MIB:6.0f} MiB  {speed:6.0f} MiB/s  +{grown:.1f} MiB of memory")  # noqa: T201
    return grown


def main() -> int:
    """Run the command line; return 1 if a direction takes too much memory."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mib", type=int, default=2048, help="size; default: %(default)s")
    size = arguments.parse_args().mib * MIB
    grown = [measure("download", download, size), measure("upload", upload, size)]
    print(f"the bar is +{BAR_MIB:g} MiB")  # noqa: T201  # its output
    return 1 if max(grown) > BAR_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
