"""Connecting to a server."""

from __future__ import annotations

import grpc

from taskgate_client.client import Client
from taskgate_client.streams import Timing

CHANNEL_OPTIONS = (
    # A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC would wait for up to two minutes before it tries to reach a server again.
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


def connect(address: str, timing: Timing | None = None) -> Client:
    """A client of the server at `address` (`host:port`), in plaintext.

    Nothing is sent until the first call, so a wrong address shows there.
    """
    return Client(grpc.insecure_channel(address, options=CHANNEL_OPTIONS), timing)
