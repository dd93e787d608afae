"""TLS, client certificates and bearer tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

from taskgate_client.errors import CallError

Token: TypeAlias = str | Path | Callable[[], str]
"""A bearer token, a file that contains one, or a function that returns one. The file is read, and
the function called, for each call; in an asyncio client within the event loop, so that the function
must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Options of an encrypted connection. The files are PEM.

    `connect` reads the files. When they change, such as after a rotation, later calls use a new
    connection.

    Raises:
        ValueError: a certificate without its key, or a key without its certificate.
    """

    ca: Path | str | None = None
    """CA certificates that sign the server's certificate; None for those that gRPC includes."""
    certificate: Path | str | None = None
    """The client's certificate, for a server that requires one (mTLS)."""
    key: Path | str | None = None
    """The private key of the client's certificate."""
    server_name: str | None = None
    """The name in the server's certificate, if it differs from the address."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client certificate and its key have to be given together")

    def versions(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return values that differ after a file was changed; None for a file that is absent."""
        files = (self.ca, self.certificate, self.key)
        return tuple(None if path is None else _version(path) for path in files)

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials for gRPC.

        Raises:
            OSError: a file cannot be read.
        """
        ca, key, certificate = (
            None if path is None else Path(path).read_bytes()
            for path in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


def _version(path: Path | str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def check_token(tls: Tls | None, token: Token | None) -> None:
    """Check the token of a channel.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
    """
    if tls is None and token is not None:
        raise ValueError("a token requires TLS; in plaintext anyone on the network can read it")
    if isinstance(token, str):
        _validate(token)


class BearerToken:
    """The metadata with the token of each call.

    gRPC's own plug-ins for metadata are not used: it reports their failures as UNAVAILABLE and
    calls again.
    """

    def __init__(self, token: Token | None) -> None:
        self._token = token

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata for a call that is made now.

        Raises:
            CallError: UNAUTHENTICATED, there is no token, or it cannot be sent.
        """
        if self._token is None:
            return ()
        try:
            return (("authorization", f"Bearer {current_token(self._token)}"),)
        except Exception as error:  # whatever the caller's function raises
            message = f"cannot get the token: {error}"
            raise CallError(grpc.StatusCode.UNAUTHENTICATED, message) from error


def current_token(token: Token) -> str:
    """Return the token to send now. A file is read each time, as its token may be rotated.

    Raises:
        ValueError: the token cannot be sent.
    """
    if isinstance(token, str):
        return _validate(token)
    return _validate(token.read_text() if isinstance(token, Path) else token())


def _validate(token: str) -> str:
    """Return the token without surrounding space.

    gRPC would check it, too, but its error message contains the token.
    """
    text = token.strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("the token has characters that cannot be sent; use printable ASCII")
    return text
