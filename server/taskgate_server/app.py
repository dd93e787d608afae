"""Puts the server together from its settings, in reading order, and runs it until a signal."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskgate_server import config, tls
from taskgate_server.aws_connections import TargetConnections, Telemetry, open_connections, targets
from taskgate_server.background_tasks import BackgroundTask
from taskgate_server.calls import DEFAULT_TARGET, Handler, RpcsInFlight, Work
from taskgate_server.config import Settings, SettingsError
from taskgate_server.connection_limits import ConnectionLimits
from taskgate_server.health import Readiness
from taskgate_server.pipeline.call_log import CallLine, CallLog, LogStream, TextLines
from taskgate_server.pipeline.caller_limits import LimitCallers
from taskgate_server.pipeline.observation import Observation
from taskgate_server.pipeline.pipeline import Pipeline
from taskgate_server.pipeline.reception import Reception
from taskgate_server.pipeline.refusals import Refusals
from taskgate_server.ports import Address, is_loopback, is_unix
from taskgate_server.reloading import FileFaultError
from taskgate_server.server import Handlers, Limits, Ports, Server
from taskgate_server.services.registry import SERVICES
from taskgate_server.shutdown import Shutdown, drain_grace_seconds
from taskgate_server.targets import select_by_target
from taskgate_server.telemetry import LOG, LogOutput, LogWriter
from taskgate_server.upstream.aws_client.endpoints import prefix_names

if TYPE_CHECKING:
    from taskgate_server.admin import Admin
    from taskgate_server.auth.guard import Guard
    from taskgate_server.metrics_collector import MetricsCollector
    from taskgate_server.telemetry.metrics import Metrics
    from taskgate_server.telemetry.traces import Traces

YOUNG_OBJECTS = 10_000
"""How many new objects make the garbage collector look. By default 700 do, and a thousand calls in
flight have it look all the time: that took a tenth of the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A server and what has to be let go of after it."""

    server: Server
    connections: list[TargetConnections]
    """Of each target, the default one first."""
    call_log: CallLog
    admin: Admin | None
    traces: Traces | None
    work: Work
    """Its backgrounds are known when the contracts are loaded."""

    async def close(self) -> None:
        """Drops the AWS calls that nobody waits for any more."""
        for background in self.work.backgrounds:
            await background.close()
        for gateway in itertools.chain.from_iterable(each.all for each in self.connections):
            await gateway.close()
            gateway.shut_down_threads()
        self.call_log.flush()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)


def build(
    settings: Settings, log_stream: LogStream | None = None, call_line: CallLine | None = None
) -> App:
    """The whole server; nothing is started yet.

    Args:
        settings: all of them.
        log_stream: where lines about calls go; None for nowhere.
        call_line: makes them; None for JSON.

    Raises:
        SettingsError: settings do not fit each other, or the files that they name cannot be used.
    """
    faults = [*_strangers(settings), *tls.find_faults(settings)]
    if faults:
        raise SettingsError(faults)
    metrics, traces = _metrics(settings), _traces(settings)
    telemetry = Telemetry(metrics=metrics, traces=traces)
    all_doors = [open_connections(settings, name, telemetry) for name in targets(settings)]
    queues = [queue for connections in all_doors for queue in connections.queues]
    in_flight = RpcsInFlight()
    call_log = CallLog(log_stream if settings.log_level in ("DEBUG", "INFO") else None, call_line)
    observation = Observation(
        in_flight=in_flight, call_log=call_log, metrics=metrics, traces=traces
    )
    for_logs = [gateway for connections in all_doors for gateway in connections.logs.values()]
    work = Work(
        [BackgroundTask("aws_connection", each.connection.run) for each in for_logs]
        + [BackgroundTask("events", each.run) for each in queues]
    )
    guard = _guard(settings, work)
    admin, sources = None, None
    if metrics is not None:
        from taskgate_server import metrics_collector as readings  # noqa: PLC0415  # see `_metrics`

        sources = readings.Sources(
            in_flight=in_flight,
            gateways={
                key: each for connections in all_doors for key, each in connections.labelled()
            },
            queues=queues,
            guard=guard,
            traces=traces,
            supervision=work.supervision,
            reloading=work.reloading,
            dropped_lines=log_stream.dropped if isinstance(log_stream, LogWriter) else {},
        )
        admin = _admin(settings, metrics, readings.MetricsCollector(sources, metrics), work)

    gateways = [gateway for connections in all_doors for gateway in connections.gateways.values()]
    readiness = Readiness(gateways, work.reloading, for_logs)
    reception = Reception(settings.request_idle_seconds, guard.limits if guard else None)
    work.backgrounds.append(reception)
    public = _public_pipeline(reception, guard)

    def load_handlers() -> dict[str, Handler]:
        from taskgate_server import rpc_registry as loading  # noqa: PLC0415  # it imports the contracts

        operations, limits = loading.load_operations(), loading.stream_limits(settings)
        served = {
            connections.target: loading.load_rpcs(
                settings, operations, limits, connections, work, sources
            )
            for connections in all_doors
        }
        pipeline = loading.load_pipeline(observation, guard, reception)
        return loading.load_handlers(
            pipeline, [*select_by_target(served), *loading.load_reflection()]
        )

    def refuse_unknown(method: str) -> Handler:
        if metrics is not None:
            metrics.unknown_called()
        return public.unknown_handler(method)

    server = Server(
        _ports(settings, work),
        Handlers(
            {f"/{rpc.method}": public.handler(rpc) for rpc in readiness.health.rpcs()},
            load_handlers,
            refuse_unknown,
        ),
        in_flight,
        readiness,
        _limits(settings, guard),
        work,
    )
    return App(
        server=server,
        connections=all_doors,
        call_log=call_log,
        admin=admin,
        traces=traces,
        work=work,
    )


def _strangers(settings: Settings) -> list[str]:
    """Return a line for each AWS service and host prefix in the settings that does not exist."""
    known = [spec.name for spec in SERVICES]
    tables = {"aws": settings.aws}
    tables |= {f"targets.{name}.aws": each.aws for name, each in settings.targets.items()}
    faults = [
        f"{table}.{name}: no such AWS service; there are {', '.join(known)}"
        for table, services in tables.items()
        for name in sorted(services.keys() - known)
    ]
    faults += [
        f"{table}.{name}.endpoint_urls.{prefix}: no such host prefix; there are"
        f" {', '.join(sorted(prefix_names(name)))}"
        for table, services in tables.items()
        for name, service in services.items()
        if name in known and service.endpoint_urls  # reading the model takes 0.1 s
        for prefix in sorted(service.endpoint_urls.keys() - set(prefix_names(name)))
    ]
    if DEFAULT_TARGET in settings.targets:
        faults.append(f"targets.{DEFAULT_TARGET}: aws describes that one; choose another name")
    return faults


def _ports(settings: Settings, work: Work) -> Ports:
    """Where to listen; certificates are looked at while the server serves."""
    try:
        certificates = tls.load_certificates(settings)
    except FileFaultError as fault:
        raise SettingsError([str(fault)]) from None
    credentials, health = None, None
    if certificates is not None:
        work.runs.append(BackgroundTask(certificates.name, certificates.run))
        work.reloading.append(certificates)
        mutual = settings.tls_client_ca_file is not None
        credentials = tls.credentials_of(certificates, mutual=mutual)
    if settings.health_port is not None:
        beside = "127.0.0.1" if is_unix(settings.listen_host) else settings.listen_host
        host = settings.health_host or beside
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
    if not tls.is_guarded(settings) and is_loopback(settings.listen_host):
        return None
    from taskgate_server.auth.guard import build_guard  # noqa: PLC0415  # takes 0.3 s

    try:
        guard = build_guard(settings)
    except FileFaultError as fault:
        raise SettingsError([str(fault)]) from None
    work.runs.extend(guard.runs)
    work.reloading.extend(guard.reloading)
    return guard


def _public_pipeline(reception: Reception, guard: Guard | None) -> Pipeline:
    """Return the pipeline of health checks, which is there before the contracts are loaded."""
    if guard is None:
        return Pipeline(stages=[reception], refusals=Refusals(None))
    from taskgate_server.pipeline.authentication import Authentication  # noqa: PLC0415  # 0.1 s

    return Pipeline(
        stages=[Authentication(guard.callers), LimitCallers(guard.limits), reception],
        refusals=Refusals(guard.limits),
    )


def _limits(settings: Settings, guard: Guard | None) -> Limits:
    """Return the limits of messages and connections. On this machine alone, any number may be."""
    connections = ConnectionLimits(
        per_address=settings.max_connections_per_address, total=settings.max_connections
    )
    return Limits(
        max_request_bytes=settings.max_request_bytes,
        max_connection_age=settings.max_connection_age_seconds,
        max_connection_age_grace=settings.max_connection_age_grace_seconds,
        max_connection_idle=settings.max_connection_idle_seconds,
        max_streams=settings.max_streams_per_connection,
        keepalive=settings.keepalive_seconds,
        keepalive_timeout=settings.keepalive_timeout_seconds,
        min_ping=settings.min_ping_seconds,
        connections=connections if guard is not None else None,
    )


def _metrics(settings: Settings) -> Metrics | None:
    """What counts, if anybody is to be told."""
    if settings.admin_port is None:
        return None
    from taskgate_server.telemetry.metrics import Metrics  # noqa: PLC0415  # takes 0.1 s

    return Metrics()


def _traces(settings: Settings) -> Traces | None:
    """What traces, if anybody is to be told."""
    if settings.traces_endpoint is None:
        return None
    try:
        from taskgate_server.telemetry.traces import Traces, read_headers  # noqa: PLC0415  # 0.3 s
    except ImportError:
        fault = "traces_endpoint (TASKGATE_TRACES_ENDPOINT): needs pip install 'taskgate[traces]'"
        raise SettingsError([fault]) from None
    file = settings.traces_headers_file
    try:
        headers = read_headers(file) if file is not None else {}
    except OSError as error:
        raise SettingsError([f"traces_headers_file: {file}: {error.strerror}"]) from None
    except ValueError as error:
        raise SettingsError([f"traces_headers_file: {file}: {error}"]) from None
    return Traces(settings.traces_endpoint, headers, settings.traces_ratio)


def _admin(settings: Settings, metrics: Metrics, readings: MetricsCollector, work: Work) -> Admin:
    """What serves the metrics."""
    from taskgate_server.admin import Admin  # noqa: PLC0415  # see `_metrics`

    metrics.registry.register(readings)
    admin = Admin(settings.admin_host, settings.admin_port or 0, metrics.registry)
    work.starts.extend([readings.begin, admin.start])
    work.backgrounds.append(admin)
    return admin


async def run(
    settings: Settings,
    log: LogOutput,
    *,
    ready: Callable[[Address], None] | None = None,
    stopping: Shutdown | None = None,
) -> bool:
    """Serve until a signal of `STOP_SIGNALS`, then drain; stop at once after a second one.

    Args:
        settings: all of them.
        log: where lines about calls go, and how they look.
        ready: told the address once the server listens.
        stopping: says when to stop, besides signals.

    Returns:
        Whether it has drained; False if it had to stop at once.

    Raises:
        server.ListenError: the address cannot be listened on.
        SettingsError: see `build`.
    """
    gc.disable()  # a start makes no garbage, and the collector would look for it
    call_line = TextLines(is_colored=log.style.is_colored) if log.style.is_text else None
    app = build(settings, log.writer, call_line)
    stopping = stopping or Shutdown()
    stopping.listen_to_signals()
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
