"""TLS, client certificates and bearer tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

Token: TypeAlias = str | Path | Callable[[], str]
"""A bearer token, a file that contains one, or a function that returns one. The file is read, and
the function called, for each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Options of an encrypted connection. The files are PEM, and are read by `connect`.

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


def channel_credentials(tls: Tls | None, token: Token | None) -> grpc.ChannelCredentials | None:
    """Return the credentials of a channel; None for plaintext.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    if tls is None:
        if token is not None:
            raise ValueError("a token requires TLS; in plaintext anyone on the network can read it")
        return None
    credentials = tls.credentials()
    if token is None:
        return credentials
    if isinstance(token, str):
        _validate(token)
    return grpc.composite_channel_credentials(
        credentials, grpc.metadata_call_credentials(_BearerToken(token))
    )


class _BearerToken(grpc.AuthMetadataPlugin):
    """Adds the token to each call."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002  # gRPC passes it by name
        callback: grpc.AuthMetadataPluginCallback,
    ) -> None:
        try:
            callback((("authorization", f"Bearer {current_token(self._token)}"),), None)
        except Exception as error:  # noqa: BLE001  # the call fails with it, whatever it is
            callback((), error)


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
