"""The protection of the port: TLS with certificates that may change, or plaintext on loopback.

gRPC requests the certificates at each handshake, so that new certificates apply to new connections
and existing connections continue.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import grpc

from taskgate_server.config import PLAINTEXT_PHRASE, Settings
from taskgate_server.ports import is_loopback
from taskgate_server.reloading import RejectedError, ReloadingFile


@dataclass(frozen=True, slots=True)
class Identity:
    """A version of the certificate and key, with the authorities of client certificates."""

    grpc: grpc.ServerCertificateConfiguration
    http: ssl.SSLContext | None
    """For `http_port`; None without one."""


Certificates: TypeAlias = "ReloadingFile[Identity]"
MakeCredentials: TypeAlias = Callable[[], grpc.ServerCredentials]
"""Makes the credentials of one port, which store the version of the certificates that gRPC has."""

LAST_PORT: Final = 65535
UNSUPPORTED: Final = (
    "gRPC cannot use the certificates: it supports RSA, Ed25519, and the curves P-256, P-384, P-521"
)


def find_faults(settings: Settings) -> list[str]:
    """Return what is wrong with the settings of the port, one line for each fault."""
    found = []
    tls, key = settings.tls_certificate_file, settings.tls_key_file
    if (tls is None) != (key is None):
        found.append("tls_certificate_file, tls_key_file: TLS needs both")
    if settings.tls_client_ca_file and tls is None:
        found.append("tls_client_ca_file: needs tls_certificate_file and tls_key_file, too")
    public = {name: host for name, host in settings.hosts().items() if not is_loopback(host)}
    for name, host in public.items():
        if tls is None and not settings.plaintext_to_everyone:
            found.append(
                f"{name}: {host} can be reached from other machines: set tls_certificate_file and"
                " tls_key_file, or, if plaintext is acceptable,"
                f' plaintext_to_everyone = "{PLAINTEXT_PHRASE}"'
            )
        if tls is not None and not is_guarded(settings):
            found.append(
                f"{name}: TLS alone does not identify callers: set tls_client_ca_file, jwt_issuer,"
                " or policy_files with rules for Anonymous"
            )
    found += _token_faults(settings)
    found += _port_faults(settings)
    return found


def _token_faults(settings: Settings) -> list[str]:
    found = []
    if settings.jwt_issuer and not (settings.jwt_audience and settings.jwt_keys):
        found.append("jwt_issuer: needs jwt_audience and jwt_keys, too")
    keys = urlsplit(settings.jwt_keys or "")
    if keys.scheme == "http" and not is_loopback(keys.hostname or ""):
        found.append(
            f"jwt_keys: an attacker on the network could replace keys from http://{keys.hostname}:"
            " use https:// or a file; http:// is accepted only for this machine"
        )
    found += [
        f"{name}: needs an address (https://) in jwt_keys"
        for name in ("jwt_keys_token_file", "jwt_keys_ca_file")
        if getattr(settings, name) is not None and not keys.netloc
    ]
    return found


def _port_faults(settings: Settings) -> list[str]:
    """Return the fault of the admin ports: each worker has its own, from the configured one on."""
    first, count = settings.admin_port, settings.workers
    if not first or count == 1:
        return []
    ports = range(first, first + count)
    others = {settings.listen_port, settings.health_port, settings.http_port, LAST_PORT + 1}
    taken = others & set(ports)
    if not taken:
        return []
    return [f"admin_port: {count} workers need ports {first} to {ports[-1]}, not all are available"]


def is_guarded(settings: Settings) -> bool:
    """Return whether the settings restrict who may call."""
    return bool(settings.jwt_issuer or settings.tls_client_ca_file or settings.policy_files)


def load_certificates(settings: Settings) -> Certificates | None:
    """Return the certificates in the settings; None for plaintext.

    Raises:
        SettingsError: the certificates cannot be used.
    """
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        return None
    authority = settings.tls_client_ca_file
    files = [certificate, key, *([authority] if authority else [])]
    parse = partial(_identity, has_http=settings.http_port is not None)
    return ReloadingFile("certificates", files, parse)


def credentials_of(certificates: Certificates, *, mutual: bool) -> MakeCredentials:
    """Return a function that makes credentials with the active certificates.

    Args:
        certificates: reloaded when they change.
        mutual: whether each caller must have a certificate of the client authority.
    """

    def make() -> grpc.ServerCredentials:
        known = certificates.changes

        def newest() -> grpc.ServerCertificateConfiguration | None:
            """Return newer certificates, else None. gRPC's threads call it at each handshake."""
            nonlocal known
            changes = certificates.changes
            if known == changes:
                return None
            known = changes
            return certificates.value.grpc

        return grpc.dynamic_ssl_server_credentials(
            certificates.value.grpc,
            newest,  # type: ignore[arg-type]  # see `_no_change`
            require_client_authentication=mutual,
        )

    return make


def _identity(contents: Sequence[bytes], *, has_http: bool) -> Identity:
    """Return certificate, key and optional client authorities in gRPC's format, and in Python's.

    Raises:
        RejectedError: they are not certificates, gRPC cannot use them, or the key belongs to
            another certificate, as for a moment while two files are being replaced.
    """
    from cryptography import x509  # noqa: PLC0415  # takes 60 ms, unneeded for plaintext
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    certificate, key, *authority = contents
    try:
        public = x509.load_pem_x509_certificates(certificate)[0].public_key()
        private = load_pem_private_key(key, password=None)
        for each in authority:
            x509.load_pem_x509_certificates(each)
    except (ValueError, TypeError):
        # The text of the libraries may quote the files.
        raise RejectedError("must be PEM certificates and a PEM key without passphrase") from None
    except UnsupportedAlgorithm:
        raise RejectedError(UNSUPPORTED) from None
    if public != private.public_key():
        raise RejectedError("the key does not belong to the certificate")
    configuration = grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=authority[0] if authority else None
    )
    _try(configuration)
    return Identity(configuration, _context(contents) if has_http else None)


def _context(contents: Sequence[bytes]) -> ssl.SSLContext:
    """Return certificate, key and optional client authorities in Python's format.

    Raises:
        RejectedError: OpenSSL cannot use them.
    """
    certificate, key, *authority = contents
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Python reads certificates and keys from files only; this one is in memory.
    with open(os.memfd_create("certificate"), "w+b") as file:  # noqa: PTH123  # a descriptor
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
            for each in authority:
                context.load_verify_locations(cadata=each.decode())
        except (ssl.SSLError, ValueError):
            raise RejectedError("OpenSSL cannot use the certificates for http_port") from None
    if authority:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _try(configuration: grpc.ServerCertificateConfiguration) -> None:
    """Raise RejectedError unless gRPC can serve with the certificates.

    BoringSSL, which gRPC uses, supports fewer algorithms than OpenSSL. With certificates that it
    cannot use, gRPC continues with the previous ones and reports that only to stderr. It reads them
    when a port is opened: this one is on loopback, and closed before it accepts a connection.
    """
    server = grpc.server(ThreadPoolExecutor(1))
    try:
        server.add_secure_port(
            "127.0.0.1:0", grpc.dynamic_ssl_server_credentials(configuration, _no_change)
        )
    except RuntimeError:
        raise RejectedError(UNSUPPORTED) from None
    finally:
        server.stop(None)


def _no_change() -> grpc.ServerCertificateConfiguration:
    return None  # type: ignore[return-value]  # gRPC takes None for no change, its stubs do not
