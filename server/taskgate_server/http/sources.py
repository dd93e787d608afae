"""What the HTTP port serves. Imported by servers without it, so it needs none of its libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taskgate_server.large_requests import LargeRequests
from taskgate_server.pipeline.pipeline import ServedRpc
from taskgate_server.tls import Certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSources:
    """What the port is built from."""

    load: Callable[[], Mapping[str, ServedRpc]]
    """Returns the RPCs by path, such as `/taskgate.v1.TaskService/GetTask`."""
    unknown: Callable[[str], ServedRpc]
    """Returns what serves a method that does not exist."""
    large: LargeRequests
    """Converts large messages beside the event loop."""
    certificates: Certificates | None
    """Reloaded when they change; None for plaintext."""
    is_guarded: bool
    """Whether callers are authenticated."""
