"""Connecting to a server."""

from __future__ import annotations

from typing import Any

import grpc

from taskgate_client.client import Client
from taskgate_client.security import Tls, Token, channel_credentials
from taskgate_client.service_config import service_config
from taskgate_client.streams import Timing
from taskgate_client.targets import SendsTarget

CHANNEL_OPTIONS = (
    # A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC would wait for up to two minutes before it tries to reach a server again.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A connection that is gone without a word is noticed while a call waits on it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def connect(
    address: str,
    timing: Timing | None = None,
    *,
    tls: Tls | None = None,
    token: Token | None = None,
    target: str = "",
    balance: bool = False,
) -> Client:
    """A client of the server at `address` (`host:port`), in plaintext unless `tls` is given.

    Nothing is sent until the first call, so a wrong address shows there. Reads that find a
    connection or a server gone are made again, a few times within a second or two.

    Args:
        address: where to call. Anything that gRPC knows: `dns:///host:port`, `ipv4:host:port,…`.
        timing: where clock, sleep and chance come from.
        tls: how to encrypt the connection; `Tls()` for a server with a public certificate.
        token: who calls, for a server that wants to know: a token, a `Path` to one, or a function.
        target: the AWS account and region to call, by the server's name for it.
        balance: whether to call all the servers at the address in turn, each while it says that it
            serves. Not for a proxy, which balances itself: it would be left alone when one of the
            servers behind it stops.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    credentials = channel_credentials(tls, token)
    options = channel_options(tls, balance=balance)
    channel = (
        grpc.insecure_channel(address, options)
        if credentials is None
        else grpc.secure_channel(address, credentials, options)
    )
    if target:
        channel = grpc.intercept_channel(channel, SendsTarget(target))
    return Client(channel, timing)


def channel_options(tls: Tls | None, *, balance: bool) -> list[tuple[str, Any]]:
    """What gRPC is told of a channel."""
    options: list[tuple[str, Any]] = [
        *CHANNEL_OPTIONS,
        ("grpc.service_config", service_config(balance=balance)),
    ]
    if balance:
        # gRPC would ask for names at most every 30 s. A rolling update may have been done by then,
        # and none of the addresses that it knows be one any more.
        options.append(("grpc.dns_min_time_between_resolutions_ms", 1_000))
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options
