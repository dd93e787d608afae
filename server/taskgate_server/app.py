"""Composition of the server from its settings, and its run until a signal."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from taskgate_server import config, tls
from taskgate_server.aws_connections import TargetConnections, Telemetry, open_connections
from taskgate_server.background_tasks import Background, BackgroundTask, Supervision
from taskgate_server.calls import DEFAULT_TARGET, Handler, Rpc
from taskgate_server.config import Settings, SettingsError
from taskgate_server.connection_limits import ConnectionLimits
from taskgate_server.health import Readiness
from taskgate_server.http.sources import HttpSources
from taskgate_server.pipeline.call_log import CallLog
from taskgate_server.pipeline.caller_limits import IdentifyAddress, LimitCallers
from taskgate_server.pipeline.observation import Observation
from taskgate_server.pipeline.pipeline import Pipeline, ServedRpc, Stage, unknown_rpc
from taskgate_server.pipeline.reception import Reception
from taskgate_server.pipeline.refusals import Refusals
from taskgate_server.ports import Address, is_loopback, is_unix
from taskgate_server.reloading import Reloading
from taskgate_server.server import BackgroundWork, Handlers, HttpPort, Ports, Server
from taskgate_server.services.registry import SERVICES, select
from taskgate_server.settling import settle_after_start
from taskgate_server.shutdown import Shutdown, drain_grace_seconds
from taskgate_server.telemetry.json_format import JsonLines
from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.logs import LOG, LineFormat, LogOutput
from taskgate_server.upstream.aws_client.factory import prefix_names

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from taskgate_server.admin import Admin
    from taskgate_server.auth.guard import Guard
    from taskgate_server.rpc_registry import ServedTarget
    from taskgate_server.telemetry.metrics import Metrics
    from taskgate_server.telemetry.traces import Traces

YOUNG_OBJECTS = 10_000
"""New objects between two collections of the youngest generation. By default, after 700, a
thousand in-flight calls keep the garbage collector running: it took a tenth of the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A server, and what has to be closed after it."""

    server: Server
    connections: list[TargetConnections]
    """Of each target, the default one first."""
    call_log: CallLog
    admin: Admin | None
    traces: Traces | None
    backgrounds: Callable[[], Sequence[Background]]

    async def close(self) -> None:
        """End background work and drop the AWS calls that no caller waits for."""
        for background in self.backgrounds():
            await background.close()
        for connections in self.connections:
            for _, gateway in connections.labelled():
                await gateway.close()
        self.call_log.flush()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)


def build(
    settings: Settings,
    log_stream: SupportsWrite[str] | None = None,
    line_format: LineFormat | None = None,
) -> App:
    """Return the whole server; nothing is started yet.

    Args:
        settings: all of them.
        log_stream: gets the lines about calls; None for no lines.
        line_format: the format of lines; None for JSON.

    Raises:
        SettingsError: settings contradict each other, or a file that they name cannot be used.
    """
    faults = [*_unknown_names(settings), *_plugin_faults(settings), *tls.find_faults(settings)]
    if faults:
        raise SettingsError(faults)
    metrics, traces = _metrics(settings), _traces(settings)
    telemetry = Telemetry(metrics=metrics, traces=traces)
    targets = [DEFAULT_TARGET, *settings.targets]
    connections = [open_connections(settings, name, telemetry) for name in targets]
    queues = [queue for each in connections for queue in each.queues]
    gateways = [gateway for each in connections for gateway in each.gateways.values()]
    log_gateways = [gateway for each in connections for gateway in each.logs.values()]
    guard, certificates = _guard(settings), tls.load_certificates(settings)
    limits = guard.limits if guard is not None else None
    reloading: list[Reloading] = [
        *([certificates] if certificates is not None else []),
        *(guard.reloading if guard is not None else []),
    ]
    readiness = Readiness(gateways, reloading, log_gateways)
    supervision, in_flight = Supervision(), Counter[str]()
    logs_calls = settings.log_level in ("DEBUG", "INFO")
    call_log = CallLog(log_stream if logs_calls else None, line_format or JsonLines())
    reception = Reception(settings.request_idle_seconds, limits)
    public = Pipeline(stages=_public_stages(guard, reception), refusals=Refusals(limits))
    observation = Observation(
        in_flight=in_flight, call_log=call_log, metrics=metrics, traces=traces
    )

    @cache
    def served() -> Sequence[ServedTarget]:
        from taskgate_server import rpc_registry  # noqa: PLC0415  # 0.1 s: it imports the contracts

        may_use = _may_use_target(guard)
        return rpc_registry.load_targets(settings, connections, supervision, may_use)

    @cache
    def load_rpcs() -> dict[str, ServedRpc]:
        from taskgate_server import rpc_registry  # noqa: PLC0415  # see `served`
        from taskgate_server.pipeline.stages import list_stages  # noqa: PLC0415  # 0.1 s

        stages = list_stages(observation, guard, reception)
        pipeline = Pipeline(stages=stages, refusals=Refusals(limits))
        return _by_path(rpc_registry.load_rpcs(settings, served()), pipeline)

    def refuse_unknown(method: str) -> ServedRpc:
        if metrics is not None:
            metrics.count_unknown_method()
        return ServedRpc(unknown_rpc(method), public)

    health = _by_path(readiness.health.rpcs(), public)

    admin, starts = None, list[Callable[[], None]]()
    if metrics is not None:
        from taskgate_server import metrics_collector  # noqa: PLC0415  # see `_metrics`
        from taskgate_server.admin import Admin  # noqa: PLC0415

        sources = metrics_collector.Sources(
            in_flight=in_flight,
            gateways={key: each for target in connections for key, each in target.labelled()},
            queues=queues,
            guard=guard,
            traces=traces,
            supervision=supervision,
            reloading=reloading,
            dropped_lines=log_stream.dropped if isinstance(log_stream, LogWriter) else {},
            served=lambda: [(each.target, each.hub, each.logs) for each in served()],
        )
        collector = metrics_collector.MetricsCollector(sources)
        metrics.registry.register(collector)
        admin = Admin(settings.admin_host, settings.admin_port or 0, metrics.registry)
        starts = [collector.begin, admin.start]

    def backgrounds() -> list[Background]:
        loaded = [each for target in served() for each in (target.hub, target.logs)]
        return [reception, *([admin] if admin is not None else []), *loaded]

    http = _http_port(
        settings,
        HttpSources(
            load=lambda: {**health, **load_rpcs()},
            unknown=refuse_unknown,
            large=reception.large,
            certificates=certificates,
            is_guarded=guard is not None,
        ),
    )
    server = Server(
        _ports(settings, certificates, guard, http),
        Handlers(
            _handlers(health),
            lambda: _handlers(load_rpcs()),
            lambda method: _handler(refuse_unknown(method)),
        ),
        in_flight,
        readiness,
        settings,
        BackgroundWork(
            supervision=supervision,
            tasks=[
                *(BackgroundTask("aws_connection", each.connection.run) for each in log_gateways),
                *(BackgroundTask("events", each.run) for each in queues),
                *(BackgroundTask(each.name, each.run) for each in [certificates] if each),
                *(guard.runs if guard is not None else []),
            ],
            starts=starts,
            backgrounds=backgrounds,
        ),
    )
    return App(
        server=server,
        connections=connections,
        call_log=call_log,
        admin=admin,
        traces=traces,
        backgrounds=backgrounds,
    )


def _may_use_target(guard: Guard | None) -> Callable[[Any, str], bool]:
    """Return what decides whether a caller may use a target."""
    if guard is None or guard.decisions is None:
        return lambda _caller, _target: True
    return guard.decisions.may_use_target


def _by_path(rpcs: Iterable[Rpc], pipeline: Pipeline) -> dict[str, ServedRpc]:
    return {f"/{rpc.method}": ServedRpc(rpc, pipeline) for rpc in rpcs}


def _handler(served: ServedRpc) -> Handler:
    return served.pipeline.handler(served.rpc)


def _handlers(by_path: Mapping[str, ServedRpc]) -> dict[str, Handler]:
    """Return the gRPC handlers of RPCs by path."""
    return {path: _handler(served) for path, served in by_path.items()}


def _http_port(settings: Settings, sources: HttpSources) -> HttpPort | None:
    """Return the port for HTTP; None without the setting."""
    if settings.http_port is None:
        return None
    try:
        from taskgate_server.http.port import build_port  # noqa: PLC0415  # takes 0.2 s
    except ImportError:
        fault = "http_port (TASKGATE_HTTP_PORT): needs pip install 'taskgate[http]'"
        raise SettingsError([fault]) from None
    return build_port(settings, sources)


def _unknown_names(settings: Settings) -> list[str]:
    """Return a line for each AWS service and host prefix in the settings that does not exist."""
    known = [spec.name for spec in SERVICES]
    tables = {"aws": settings.aws}
    tables |= {f"targets.{name}.aws": each.aws for name, each in settings.targets.items()}
    faults = [
        f"{table}.{name}: unknown AWS service; known are {', '.join(known)}"
        for table, services in tables.items()
        for name in sorted(services.keys() - known)
    ]
    faults += [
        f"services: {name} is no AWS service of this installation; known are {', '.join(known)}"
        for name in settings.services or ()
        if name not in known
    ]
    faults += [
        f"{table}.{name}.endpoint_urls.{prefix}: unknown host prefix; known are"
        f" {', '.join(sorted(prefix_names(name)))}"
        for table, services in tables.items()
        for name, service in services.items()
        if name in known and service.endpoint_urls  # reading the model takes 0.1 s
        for prefix in sorted(service.endpoint_urls.keys() - set(prefix_names(name)))
    ]
    if DEFAULT_TARGET in settings.targets:
        faults.append(f"targets.{DEFAULT_TARGET}: aws describes that one; choose another name")
    return faults


def _plugin_faults(settings: Settings) -> list[str]:
    """Return a line for each fault of a served plug-in."""
    plugins = [spec for spec in select(settings.services) if spec.contract]
    if not plugins:
        return []
    from taskgate_server.plugins import find_faults  # noqa: PLC0415  # contracts take 0.1 s

    return [fault for spec in plugins for fault in find_faults(spec)]


def _ports(
    settings: Settings,
    certificates: tls.Certificates | None,
    guard: Guard | None,
    http: HttpPort | None,
) -> Ports:
    """Return the ports to listen on. On loopback, connections are unlimited."""
    credentials, health = None, None
    if certificates is not None:
        mutual = settings.tls_client_ca_file is not None
        credentials = tls.credentials_of(certificates, mutual=mutual)
    if settings.health_port is not None:
        beside = "127.0.0.1" if is_unix(settings.listen_host) else settings.listen_host
        health = Address(host=settings.health_host or beside, port=settings.health_port)
    return Ports(
        address=Address(host=settings.listen_host, port=settings.listen_port),
        credentials=credentials,
        health=health,
        are_shared=settings.workers > 1,
        http=http,
        connection_limits=None
        if guard is None
        else ConnectionLimits(
            per_address=settings.max_connections_per_address, total=settings.max_connections
        ),
    )


def _guard(settings: Settings) -> Guard | None:
    """Return what authenticates and authorizes; None on loopback with no such settings."""
    if not tls.is_guarded(settings) and all(map(is_loopback, settings.hosts().values())):
        return None
    from taskgate_server.auth.guard import build_guard  # noqa: PLC0415  # takes 0.3 s

    return build_guard(settings)


def _public_stages(guard: Guard | None, reception: Reception) -> list[Stage]:
    """Return the stages of health checks, which need no authentication and have no log lines."""
    if guard is None:
        return [reception]
    return [IdentifyAddress(), LimitCallers(guard.limits), reception]


def _metrics(settings: Settings) -> Metrics | None:
    """Return the metrics; None without an admin port to scrape them from."""
    if settings.admin_port is None:
        return None
    from taskgate_server.telemetry.metrics import Metrics  # noqa: PLC0415  # takes 0.1 s

    return Metrics()


def _traces(settings: Settings) -> Traces | None:
    """Return the tracing; None without an endpoint for the traces."""
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


async def run(
    settings: Settings,
    log: LogOutput,
    *,
    ready: Callable[[Address], None] | None = None,
    stopping: Shutdown | None = None,
) -> bool:
    """Serve until a signal of `STOP_SIGNALS`, then drain; stop immediately at a second one.

    Args:
        settings: all of them.
        log: the stream and the format of log lines.
        ready: called with the address when the server listens.
        stopping: requests the shutdown, as signals do.

    Returns:
        Whether it has drained; False if it had to stop immediately.

    Raises:
        server.ListenError: the server cannot listen on the address.
        SettingsError: see `build`.
    """
    gc.disable()  # starting makes no garbage to collect
    app = build(settings, log.writer, log.format)
    stopping = stopping or Shutdown()
    stopping.listen_to_signals()
    for name in config.unknown_variables(os.environ):
        LOG.warning("unknown environment variable", extra={"variable": name})
    address = await app.server.start()
    # The objects of the start are never freed: the collector need not examine them again.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    gateways = [each for target in app.connections for each in target.gateways.values()]
    settling = asyncio.ensure_future(settle_after_start(each.connection for each in gateways))
    if ready is not None:
        ready(address)
    await stopping.begun.wait()
    settling.cancel()
    await app.server.drain(
        settings.drain_seconds,
        grace_seconds=drain_grace_seconds(settings),
        stopping=stopping,
    )
    await app.close()
    return not stopping.at_once.is_set()
