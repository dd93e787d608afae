"""Every RPC that the server has, for one target.

Importing the contracts takes 0.1 s, so this is imported when the server listens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias

from taskgate_server import health_service as health
from taskgate_server.auth.batches import serve_allowed
from taskgate_server.aws_connections import TargetConnections, aws_settings
from taskgate_server.calls import Handler, Rpc, Work
from taskgate_server.config import Settings
from taskgate_server.health import TASK_SERVICE
from taskgate_server.pipeline.observation import Observation
from taskgate_server.pipeline.pipeline import Pipeline
from taskgate_server.pipeline.reception import Reception
from taskgate_server.pipeline.refusals import Refusals
from taskgate_server.pipeline.stages import list_stages
from taskgate_server.rpc import handlers, reflection
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.spool import Spool, directory_fault
from taskgate_server.rpc.streams import StreamLimits
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks import servicer
from taskgate_server.tasks.backend import Backends, TaskBackend, load_backend
from taskgate_server.tasks.logs.finder import load_finder
from taskgate_server.tasks.logs.streams import Logs
from taskgate_server.tasks.reads import Reads
from taskgate_server.tasks.updates import Updates
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from taskgate_server.telemetry import LOG
from taskgate_server.upstream.gateway import Gateway

if TYPE_CHECKING:  # it comes with the settings that ask for it
    from taskgate_server.auth.assembly import Guard
    from taskgate_server.metrics_collector import Sources


Operations: TypeAlias = Mapping[str, dict[str, Operation]]
"""By AWS service and name."""


def load_operations() -> Operations:
    """All there are; each is compiled once, whatever the number of targets."""
    return {spec.name: handlers.load_operations(spec) for spec in SERVICES}


def stream_limits(settings: Settings) -> StreamLimits:
    """Return the limits of uploads and downloads; all targets share the spool.

    A temporary directory that cannot be used is logged.
    """
    if fault := directory_fault(os.environ):
        LOG.warning("uploads cannot be stored", extra={"fault": fault})
    return StreamLimits(
        chunk_bytes=settings.stream_chunk_bytes,
        spool_memory_bytes=settings.spool_memory_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        spool=Spool(settings.spool_max_bytes // settings.workers),
    )


def load_rpcs(  # whatever an RPC may need
    settings: Settings,
    operations: Operations,
    limits: StreamLimits,
    connections: TargetConnections,
    work: Work,
    sources: Sources | None = None,
) -> Iterator[Rpc]:
    """Every RPC of a target.

    Args:
        settings: all of them.
        operations: all of them.
        limits: of uploads and downloads.
        connections: the target's; their hints go to the watchers.
        work: is told of the watchers, which end with the server.
        sources: of metrics, the same; None where nobody counts.
    """
    for spec in SERVICES:
        gateway = connections.gateways[spec.name]
        yield from handlers.make_rpcs(spec, operations[spec.name], gateway, limits)
    by_service = {
        spec.name: _backend(operations, spec, connections.gateways[spec.name]) for spec in SERVICES
    }
    backends = Backends(by_service, connections.target)
    rates = {
        spec.name: aws_settings(settings, connections.target, spec.name).watch_calls_per_second
        / settings.workers
        for spec in SERVICES
    }
    hub = Hub(backends, rates, supervision=work.supervision)
    connections.hints.watcher = hub.hint
    finders = {spec.name: load_finder(spec)(by_service[spec.name]) for spec in SERVICES}
    logs = Logs(backends=backends, finders=finders, gateways=connections.logs)
    work.backgrounds.extend([hub, logs])
    if sources is not None:
        sources.hubs[connections.target], sources.logs[connections.target] = hub, logs
    yield from servicer.make_rpcs(
        [
            Reads(
                backends=backends,
                max_response_bytes=settings.max_response_bytes,
                version=version("taskgate"),
                operation_counts={name: len(each) for name, each in operations.items()},
            ),
            Updates(backends, hub.touched),
            logs,
            Watches(hub, settings.default_time_limit_seconds),
        ],
    )


def load_handlers(pipeline: Pipeline, rpcs: Iterable[Rpc]) -> dict[str, Handler]:
    """Return the gRPC handlers of RPCs by method path."""
    return {f"/{rpc.method}": pipeline.handler(serve_allowed(rpc)) for rpc in rpcs}


def load_pipeline(observation: Observation, guard: Guard | None, reception: Reception) -> Pipeline:
    """Return the pipeline of all RPCs but health checks.

    Args:
        observation: counts, traces and logs each call.
        guard: knows callers, limits and policy; None for none.
        reception: reads requests.
    """
    stages = list_stages(observation, guard, reception)
    return Pipeline(stages=stages, refusals=Refusals(guard.limits if guard else None))


def load_reflection() -> Iterable[Rpc]:
    """Return the RPCs that describe the contract; they have nothing to do with targets."""
    contracts = [TASK_SERVICE, *(spec.grpc_service_full_name for spec in SERVICES)]
    return reflection.make_rpcs([*contracts, health.SERVICE, *reflection.SERVICES])


def _backend(operations: Operations, spec: ServiceSpec, gateway: Gateway) -> TaskBackend:
    kind = load_backend(spec)
    return kind(gateway, operations[spec.name][kind.names.operation].to_message)
