"""How a client knows the server and says who it is: TLS, client certificates and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

Token: TypeAlias = str | Path | Callable[[], str]
"""A bearer token, a file that has one, or what gives one. The last two are asked for each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """An encrypted connection. The files are PEM, and are read when the client connects.

    Raises:
        ValueError: a certificate without its key, or a key without its certificate.
    """

    ca: Path | str | None = None
    """Who must have signed the server's certificate; None for the authorities that gRPC brings."""
    certificate: Path | str | None = None
    """The client's own certificate, for a server that asks for one (mTLS)."""
    key: Path | str | None = None
    """The key of the client's certificate."""
    server_name: str | None = None
    """The name in the server's certificate, where the address has another."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client certificate needs its key, and a key its certificate")

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes.

        Raises:
            OSError: a file cannot be read.
        """
        ca, key, certificate = (
            None if path is None else Path(path).read_bytes()
            for path in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


def channel_credentials(tls: Tls | None, token: Token | None) -> grpc.ChannelCredentials | None:
    """Both together; None for plaintext.

    Raises:
        ValueError: a token without TLS, or one that cannot be sent.
        OSError: a file of `tls` cannot be read.
    """
    if tls is None:
        if token is not None:
            raise ValueError("a token needs TLS: everybody on the way could read it")
        return None
    credentials = tls.credentials()
    if token is None:
        return credentials
    if isinstance(token, str):
        _sendable(token)
    return grpc.composite_channel_credentials(
        credentials, grpc.metadata_call_credentials(_Authorizes(token))
    )


class _Authorizes(grpc.AuthMetadataPlugin):
    """Puts the token into each call."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002  # gRPC names it so
        callback: grpc.AuthMetadataPluginCallback,
    ) -> None:
        try:
            callback((("authorization", f"Bearer {current(self._token)}"),), None)
        except Exception as error:  # noqa: BLE001  # whatever it is, the call fails with it
            callback((), error)


def current(token: Token) -> str:
    """What to send now. A file is read again: who rotates it, such as Kubernetes, tells nobody.

    Raises:
        ValueError: it cannot be sent.
    """
    if isinstance(token, str):
        return _sendable(token)
    return _sendable(token.read_text() if isinstance(token, Path) else token())


def _sendable(token: str) -> str:
    """The token without space around it. What gRPC says of a bad one has the whole token in it."""
    text = token.strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("the token has characters that cannot be sent")
    return text
