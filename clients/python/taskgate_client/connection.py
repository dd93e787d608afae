"""Connecting a client to a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc

from taskgate_client.client import Client
from taskgate_client.renewal import RenewedChannel
from taskgate_client.security import Tls, Token, check_token
from taskgate_client.service_config import service_config
from taskgate_client.streams import Timing

CHANNEL_OPTIONS = (
    # A thousand tasks with AWS's own messages exceed gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC waits up to two minutes between attempts to connect by default.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Detects a connection that vanished without a TCP reset while a call waits on it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def connect(  # noqa: PLR0913  # independent options
    address: str,
    *,
    tls: Tls | None = None,
    token: Token | None = None,
    target: str = "",
    balance: bool = False,
    retried: Iterable[str] = (),
    timing: Timing | None = None,
) -> Client:
    """Return a client of the server at `address`, in plaintext unless `tls` is given.

    The client connects with its first call, which fails if the address is wrong. Reads that fail
    because a connection or server was lost are retried, a few times within a second or two.

    Args:
        address: `host:port`, or another form of gRPC: `dns:///host:port`, `ipv4:host:port,…`.
        tls: how to encrypt the connection; `Tls()` for a server with a public certificate.
        token: the caller's bearer token, a `Path` to one, or a function that returns one.
        target: the AWS account and region to call, by the name that the server gives it.
        balance: call all servers at the address in turn, as long as their health service reports
            that they serve. Do not use it with a proxy, which balances the load itself: the client
            would have no other address to call when one of the servers behind it stops.
        retried: paths of RPCs of other services whose calls are retried like reads, such as
            `/taskgate_batch.v1.BatchService/ListJobs` of a plug-in.
        timing: the clock, pauses and randomness; for tests.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    options = channel_options(tls, balance=balance, retried=retried)
    channel = open_channel(
        tls,
        token,
        lambda: grpc.insecure_channel(address, options),
        lambda credentials: grpc.secure_channel(address, credentials, options),
    )
    return Client(channel, token=token, target=target, timing=timing)


def open_channel(
    tls: Tls | None,
    token: Token | None,
    insecure: Callable[[], Any],
    secure: Callable[[grpc.ChannelCredentials], Any],
) -> Any:
    """Return a channel, which has the present certificates if it is encrypted.

    Args:
        tls: its files; None for plaintext.
        token: of the caller; only validated.
        insecure: returns a channel in plaintext.
        secure: returns a channel with credentials.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    check_token(tls, token)
    return insecure() if tls is None else RenewedChannel(tls, lambda: secure(tls.credentials()))


def channel_options(
    tls: Tls | None, *, balance: bool, retried: Iterable[str] = ()
) -> list[tuple[str, Any]]:
    """Return gRPC's options for a channel; the arguments are those of `connect`."""
    options: list[tuple[str, Any]] = [
        *CHANNEL_OPTIONS,
        ("grpc.service_config", service_config(balance=balance, retried=tuple(retried))),
    ]
    if balance:
        # gRPC's default is to resolve names at most every 30 s. A rolling update may be complete by
        # then, so that none of the known addresses is valid.
        options.append(("grpc.dns_min_time_between_resolutions_ms", 1_000))
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options
