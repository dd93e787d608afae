"""Why an AWS service cannot be asked at present: what health, GetServerInfo and metrics say."""

from __future__ import annotations

from taskgate_server.upstream.connection import Connection
from taskgate_server.upstream.paced import PacedSender


def obstacle(connection: Connection, paced: PacedSender) -> str | None:
    """For a person; None when it can be asked."""
    client = connection.client
    if client is None:
        error = connection.error
        return error.message if error is not None else "the server is still starting"
    if connection.is_unreachable:
        return "its endpoint takes no connections: check region, endpoint and network"
    seconds = paced.breaker.refuses_for()
    if seconds:
        return f"it failed too often; asked again in {seconds:.1f} s"
    return "AWS throttles all calls" if paced.limiter.throttling.is_total else None
