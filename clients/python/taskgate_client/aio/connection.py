"""Connecting to a server, for asyncio."""

from __future__ import annotations

import grpc

from taskgate_client.aio.client import AsyncClient
from taskgate_client.aio.streams import AsyncTiming
from taskgate_client.connection import channel_options
from taskgate_client.security import Tls, Token, channel_credentials
from taskgate_client.targets import aio_interceptors


def connect(
    address: str,
    timing: AsyncTiming | None = None,
    *,
    tls: Tls | None = None,
    token: Token | None = None,
    target: str = "",
    balance: bool = False,
) -> AsyncClient:
    """As `taskgate_client.connect`, with the same arguments, within a running event loop.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    credentials = channel_credentials(tls, token)
    options = channel_options(tls, balance=balance)
    interceptors = aio_interceptors(target) if target else None
    channel = (
        grpc.aio.insecure_channel(address, options, interceptors=interceptors)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors)
    )
    return AsyncClient(channel, timing)
