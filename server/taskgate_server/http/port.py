"""Composition of the HTTP port from the settings."""

from __future__ import annotations

import ssl
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from taskgate_server.auth.actions import SPECS
from taskgate_server.config import Settings
from taskgate_server.health import TASK_SERVICE
from taskgate_server.http.application import HttpApplication
from taskgate_server.http.connection import ConnectionRules
from taskgate_server.http.idempotency import is_safe
from taskgate_server.http.json_messages import JsonMessages
from taskgate_server.http.listener import HttpListener
from taskgate_server.http.origins import Origins
from taskgate_server.http.rpc_application import Load, RpcApplication
from taskgate_server.http.sources import HttpSources
from taskgate_server.http.static_files import load_console
from taskgate_server.ports import Address
from taskgate_server.tls import Certificates


def build_port(settings: Settings, sources: HttpSources) -> HttpListener:
    """Return the HTTP port, which does not listen yet."""
    load = cache(sources.load)
    rpcs = RpcApplication(
        load,
        sources.unknown,
        JsonMessages(sources.large),
        settings.max_request_bytes,
    )
    application = HttpApplication(
        rpcs,
        load_console() if settings.console_enabled else {},
        partial(_make_openapi, load),
        Origins(settings.http_allowed_origins, checks_host=not sources.is_guarded),
    )
    certificates = sources.certificates
    listener = HttpListener(
        Address(host=settings.hosts()["http_host"], port=settings.http_port or 0),
        application,
        ConnectionRules(
            max_connections=settings.max_connections if sources.is_guarded else None,
            keepalive_seconds=settings.keepalive_seconds,
            keepalive_timeout_seconds=settings.keepalive_timeout_seconds,
        ),
        idle_seconds=settings.max_connection_idle_seconds,
        are_shared=settings.workers > 1,
        tls=None if certificates is None else partial(_context, certificates),
    )
    if certificates is not None:
        certificates.on_change.append(listener.renew)
    return listener


def _context(certificates: Certificates) -> ssl.SSLContext:
    context = certificates.value.http
    if context is None:
        raise TypeError("the certificates were loaded for a server without http_port")
    return context


def _make_openapi(load: Load) -> bytes:
    """Return the OpenAPI document of the served RPCs."""
    from taskgate_server.http import openapi  # noqa: PLC0415  # for one request

    document = openapi.document(_services(load), version("taskgate"), is_safe)
    return openapi.serialize(document)


def _services(load: Load) -> list[ServiceDescriptor]:
    """Return the descriptors of the contracts, TaskService first."""
    names = {served.rpc.method.rpartition("/")[0] for served in load().values()}
    contracts = [TASK_SERVICE, *(name for name in SPECS if name in names)]
    pool: Any = descriptor_pool.Default()
    return [pool.FindServiceByName(name) for name in contracts]
