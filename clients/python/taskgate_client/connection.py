"""Connecting to a server."""

from __future__ import annotations

import grpc

from taskgate_client.client import Client
from taskgate_client.service_config import service_config
from taskgate_client.streams import Timing

CHANNEL_OPTIONS = (
    # A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC would wait for up to two minutes before it tries to reach a server again.
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


def connect(address: str, timing: Timing | None = None, *, balance: bool = False) -> Client:
    """A client of the server at `address` (`host:port`), in plaintext.

    Nothing is sent until the first call, so a wrong address shows there. Reads that find a
    connection or a server gone are made again, a few times within a second or two.

    Args:
        address: where to call. Anything that gRPC knows: `dns:///host:port`, `ipv4:host:port,…`.
        timing: where clock, sleep and chance come from.
        balance: whether to call all the servers at the address in turn, each while it says that it
            serves. Not for a proxy, which balances itself: it would be left alone when one of the
            servers behind it stops.
    """
    options = (*CHANNEL_OPTIONS, ("grpc.service_config", service_config(balance=balance)))
    return Client(grpc.insecure_channel(address, options=options), timing)
