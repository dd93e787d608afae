"""Puts the server together from its settings, in reading order, and runs it until a signal."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskgate_server import config, doors, transport
from taskgate_server.aws.services import SERVICES
from taskgate_server.call_log import CallLog, LogStream
from taskgate_server.calls import CallsInFlight, Handler, Rpc, Work
from taskgate_server.config import Settings, SettingsError
from taskgate_server.followed import FileFaultError
from taskgate_server.interceptors import Interceptors
from taskgate_server.ports import Address, is_loopback
from taskgate_server.readiness import TASK_SERVICE
from taskgate_server.server import Handlers, Limits, Ports, Server
from taskgate_server.stopping import Stopping, drain_grace_seconds
from taskgate_server.telemetry import LOG
from taskgate_server.upstream.gateway import Gateway

if TYPE_CHECKING:
    from taskgate_server.admin import Admin
    from taskgate_server.guard.guard import Guard
    from taskgate_server.readings import Readings, Sources
    from taskgate_server.telemetry.metrics import Metrics

YOUNG_OBJECTS = 10_000
"""How many new objects make the garbage collector look. By default 700 do, and a thousand calls in
flight have it look all the time: that took a tenth of the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A server and what has to be let go of after it."""

    server: Server
    gateways: list[Gateway]
    call_log: CallLog
    admin: Admin | None
    work: Work
    """Its backgrounds are known when the contracts are loaded."""

    async def close(self) -> None:
        """Drops the AWS calls that nobody waits for any more."""
        for background in self.work.backgrounds:
            await background.close()
        for gateway in self.gateways:
            await gateway.close()
            gateway.executor.shutdown(wait=False, cancel_futures=True)
        self.call_log.flush()


class Hints:
    """Passes hints on to whoever watches, once there is somebody."""

    def __init__(self) -> None:
        self.watcher: Callable[[str], None] | None = None

    def __call__(self, name: str) -> None:
        """AWS sent an event about the task or parent of that name."""
        if self.watcher is not None:
            self.watcher(name)


def build(settings: Settings, log_stream: LogStream | None = None) -> App:
    """The whole server; nothing is started yet.

    Args:
        settings: all of them.
        log_stream: where lines about calls go; None for nowhere.

    Raises:
        SettingsError: settings do not fit each other, or the files that they name cannot be used.
    """
    faults = [*_strangers(settings), *transport.faults(settings)]
    if faults:
        raise SettingsError(faults)
    metrics = _metrics(settings)
    gateways, logs = doors.gateways(settings, metrics)
    hints = Hints()
    queues = doors.event_queues(settings, hints, metrics)
    in_flight = CallsInFlight()
    call_log = CallLog(log_stream if settings.log_level in ("DEBUG", "INFO") else None)
    interceptors = Interceptors(in_flight=in_flight, call_log=call_log, metrics=metrics)
    work = Work([each.connection.run for each in logs.values()] + [each.run for each in queues])
    guard = _guard(settings, work)
    admin, sources = None, None
    if metrics is not None:
        from taskgate_server import readings  # noqa: PLC0415  # see `_metrics`

        sources = readings.Sources(
            in_flight=in_flight,
            gateways={**gateways, **{doors.logs_label(name): each for name, each in logs.items()}},
            queues=queues,
            guard=guard,
        )
        admin = _admin(settings, metrics, readings.Readings(sources, metrics), work)

    def load_handlers() -> dict[str, Handler]:
        watching = Watching(hints, work, sources)
        from taskgate_server.audit import audited  # noqa: PLC0415  # it knows AWS's model

        rpcs = load_rpcs(settings, gateways, logs, watching)
        if guard is not None:
            rpcs = (guard.around(rpc) for rpc in rpcs)
        rpcs = (audited(rpc) for rpc in rpcs)  # around the guard: what it denies is told, too
        return {f"/{rpc.method}": interceptors.handler(rpc) for rpc in rpcs}

    server = Server(
        _ports(settings, work),
        Handlers(load_handlers, metrics.unknown_called if metrics is not None else _nothing),
        in_flight,
        list(gateways.values()),
        Limits(
            max_request_bytes=settings.max_request_bytes,
            max_connection_age=settings.max_connection_age_seconds,
            max_connection_age_grace=settings.max_connection_age_grace_seconds,
        ),
        work,
    )
    return App(
        server=server,
        gateways=[*gateways.values(), *logs.values()],
        call_log=call_log,
        admin=admin,
        work=work,
    )


def _strangers(settings: Settings) -> list[str]:
    """A line for each AWS service in the settings that Taskgate does not know."""
    known = [spec.name for spec in SERVICES]
    strangers = sorted(set(settings.aws) - set(known))
    return [f"aws.{name}: no such AWS service; there are {', '.join(known)}" for name in strangers]


def _ports(settings: Settings, work: Work) -> Ports:
    """Where to listen; certificates are looked at while the server serves."""
    try:
        certificates = transport.load_certificates(settings)
    except FileFaultError as fault:
        raise SettingsError([str(fault)]) from None
    credentials, health = None, None
    if certificates is not None:
        work.runs.append(certificates.run)
        mutual = settings.tls_client_ca_file is not None
        credentials = transport.credentials_of(certificates, mutual=mutual)
    if settings.health_port is not None:
        host = settings.health_host or settings.listen_host
        health = Address(host=host, port=settings.health_port)
    address = Address(host=settings.listen_host, port=settings.listen_port)
    return Ports(
        address=address,
        credentials=credentials,
        health=health,
        are_shared=settings.workers > 1,
    )


def _guard(settings: Settings, work: Work) -> Guard | None:
    """What stands before the RPCs; None on this machine alone, where the settings ask for none."""
    if not transport.is_guarded(settings) and is_loopback(settings.listen_host):
        return None
    from taskgate_server.guard.assembly import build_guard  # noqa: PLC0415  # takes 0.3 s

    try:
        guarded = build_guard(settings)
    except FileFaultError as fault:
        raise SettingsError([str(fault)]) from None
    work.runs.extend(guarded.runs)
    return guarded.guard


def _metrics(settings: Settings) -> Metrics | None:
    """What counts, if anybody is to be told."""
    if settings.admin_port is None:
        return None
    from taskgate_server.telemetry.metrics import Metrics  # noqa: PLC0415  # takes 0.1 s

    return Metrics()


def _admin(settings: Settings, metrics: Metrics, readings: Readings, work: Work) -> Admin:
    """What serves the metrics."""
    from taskgate_server.admin import Admin  # noqa: PLC0415  # see `_metrics`

    metrics.registry.register(readings)
    admin = Admin(settings.admin_host, settings.admin_port or 0, metrics.registry)
    work.starts.extend([readings.begin, admin.start])
    work.backgrounds.append(admin)
    return admin


def _nothing() -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class Watching:
    """What is told of the watchers when the contracts are loaded."""

    hints: Hints
    work: Work
    sources: Sources | None = None


def load_rpcs(
    settings: Settings,
    gateways: dict[str, Gateway],
    logs: dict[str, Gateway],
    watching: Watching,
) -> Iterable[Rpc]:
    """Every RPC that the server has. Imports the contracts, which takes 0.1 s.

    Args:
        settings: all of them.
        gateways: to each AWS service, by its name.
        logs: to CloudWatch Logs for the tasks of each.
        watching: is told of the watchers.
    """
    from importlib.metadata import version  # noqa: PLC0415

    from taskgate_server.rpc import handlers, reflection  # noqa: PLC0415  # see above
    from taskgate_server.rpc.streams import StreamLimits  # noqa: PLC0415
    from taskgate_server.tasks import servicer  # noqa: PLC0415
    from taskgate_server.tasks.backend import Backends, load_backend  # noqa: PLC0415
    from taskgate_server.tasks.info import Info  # noqa: PLC0415
    from taskgate_server.tasks.logs.places import load_finder  # noqa: PLC0415
    from taskgate_server.tasks.logs.streams import Logs  # noqa: PLC0415
    from taskgate_server.tasks.reads import Reads  # noqa: PLC0415
    from taskgate_server.tasks.updates import Updates  # noqa: PLC0415
    from taskgate_server.tasks.watch.hub import Hub  # noqa: PLC0415
    from taskgate_server.tasks.watch.service import Watches  # noqa: PLC0415

    limits = StreamLimits(
        chunk_bytes=settings.stream_chunk_bytes,
        spool_memory_bytes=settings.spool_memory_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )
    by_service, counts, finders = {}, {}, {}
    for spec in SERVICES:
        operations, gateway = handlers.load_operations(spec), gateways[spec.name]
        yield from handlers.make_rpcs(spec, operations, gateway, limits)
        backend = load_backend(spec)
        by_service[spec.name] = backend(gateway, operations[backend.names.operation].to_message)
        finders[spec.name] = load_finder(spec)(by_service[spec.name])
        counts[spec.name] = len(operations)
    backends = Backends(by_service)
    rates = {
        name: doors.aws_settings(settings, name).watch_calls_per_second / settings.workers
        for name in by_service
    }
    hub = Hub(backends, rates)
    watching.hints.watcher = hub.hint
    task_logs = Logs(backends=backends, finders=finders, gateways=logs)
    watching.work.backgrounds.extend([hub, task_logs])
    if watching.sources is not None:
        watching.sources.hub, watching.sources.logs = hub, task_logs
    services = [TASK_SERVICE, *(spec.grpc_service_full_name for spec in SERVICES)]
    yield from reflection.make_rpcs(services)
    yield from servicer.make_rpcs(
        [
            Reads(backends),
            Updates(backends, touched=hub.touched),
            task_logs,
            Watches(hub, settings.default_time_limit_seconds),
            Info(version("taskgate"), backends, counts),
        ],
    )


async def run(
    settings: Settings,
    *,
    ready: Callable[[Address], None] | None = None,
    stopping: Stopping | None = None,
) -> bool:
    """Serves until SIGTERM or SIGINT, then drains; a second one has it stop at once.

    Args:
        settings: all of them.
        ready: told the address once the server listens.
        stopping: says when to stop, besides signals.

    Returns:
        Whether it has drained; False if it had to stop at once.

    Raises:
        server.ListenError: the address cannot be listened on.
        SettingsError: see `build`.
    """
    gc.disable()  # a start makes no garbage, and the collector would look for it
    app = build(settings, sys.stderr)
    stopping = stopping or Stopping()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.ask)
    for name in config.unknown_variables(os.environ):
        LOG.warning("this variable is no setting", extra={"variable": name})
    address = await app.server.start()
    # What was loaded to start stays for good: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    if ready is not None:
        ready(address)
    await stopping.begun.wait()
    await app.server.drain(
        settings.drain_seconds,
        grace_seconds=drain_grace_seconds(settings),
        stopping=stopping,
    )
    await app.close()
    return not stopping.at_once.is_set()
