"""Every RPC that the server has.

Importing the contracts takes 0.1 s, so this is imported when the server listens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, TypeAlias

from google.protobuf import message_factory

from taskgate.v1 import task_service_pb2
from taskgate_server import errors
from taskgate_server import health_service as health
from taskgate_server.auth.batches import serve_allowed
from taskgate_server.aws import naming, used_members
from taskgate_server.aws_connections import TargetConnections, aws_settings
from taskgate_server.background_tasks import Supervision
from taskgate_server.calls import TARGET_KEY, Behaviour, CallContext, Rpc
from taskgate_server.config import Settings
from taskgate_server.health import TASK_SERVICE
from taskgate_server.rpc import handlers, reflection
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.spool import Spool, directory_fault
from taskgate_server.rpc.streams import StreamLimits
from taskgate_server.services import registry
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import Backends, TaskBackend, load_backend
from taskgate_server.tasks.logs.finder import LogFinder
from taskgate_server.tasks.logs.streams import Logs
from taskgate_server.tasks.reads import Reads
from taskgate_server.tasks.server_info import MayUseTarget, ServerInfo
from taskgate_server.tasks.updates import Updates
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from taskgate_server.telemetry.logs import LOG
from taskgate_server.upstream.gateway import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTarget:
    """What serves the calls for one target."""

    target: str
    rpcs: Sequence[Rpc]
    hub: Hub
    logs: Logs


Operations: TypeAlias = Mapping[str, dict[str, Operation]]
"""By AWS service and name."""


def load_targets(
    settings: Settings,
    connections: Sequence[TargetConnections],
    supervision: Supervision,
    may_use_target: MayUseTarget = lambda *_: True,
) -> list[ServedTarget]:
    """Return what serves each target. The operations are compiled once for all targets.

    Args:
        settings: all of them.
        connections: to AWS, of each target; their events go to the hub of the target.
        supervision: runs the pollers.
        may_use_target: decides which targets a caller sees.

    Raises:
        used_members.MissingMembersError: the installed botocore does not fit the services' code.
    """
    specs = registry.select(settings.services)
    for spec in specs:
        used_members.check(spec)
    operations = {spec.name: handlers.load_operations(spec) for spec in specs}
    limits = _stream_limits(settings)
    gateways = {each.target: each.gateways for each in connections}

    def make_info(backends: Backends) -> ServerInfo:
        return ServerInfo(
            backends=backends.by_service,
            gateways=gateways,
            may_use_target=may_use_target,
            version=version("taskgate"),
            operation_counts={name: len(each) for name, each in operations.items()},
        )

    return [
        _load_target(settings, operations, limits, each, make_info, supervision)
        for each in connections
    ]


def load_rpcs(settings: Settings, targets: Iterable[ServedTarget]) -> list[Rpc]:
    """Return all RPCs but health checks."""
    by_target = {each.target: {rpc.method: rpc for rpc in each.rpcs} for each in targets}
    first = next(iter(by_target.values()))
    selecting = [
        replace(
            rpc,
            behaviour=_select_by_target(
                {target: rpcs[method].behaviour for target, rpcs in by_target.items()}
            ),
        )
        for method, rpc in first.items()
    ]
    rpcs = [*selecting, *_reflection(registry.select(settings.services))]
    return [serve_allowed(rpc) for rpc in rpcs]


def _select_by_target(behaviours: Mapping[str, Behaviour]) -> Behaviour:
    """Return a behaviour that serves a call by that of its target, whose use is authorized."""

    # Not a coroutine: it returns the behaviour's awaitable or iterator.
    def serve(request: Any, call: CallContext) -> Any:
        behaviour = behaviours.get(call.target)
        if behaviour is None:
            names = ", ".join(behaviours)
            raise errors.invalid_request({TARGET_KEY: f"unknown target: use one of {names}"})
        return behaviour(request, call)

    return serve


def _load_target(
    settings: Settings,
    operations: Operations,
    limits: StreamLimits,
    connections: TargetConnections,
    make_info: Callable[[Backends], ServerInfo],
    supervision: Supervision,
) -> ServedTarget:
    gateways = connections.gateways
    specs = registry.select(settings.services)
    by_service = {spec.name: _backend(operations, spec, gateways[spec.name]) for spec in specs}
    backends = Backends(by_service, connections.target)
    rates = {
        spec.name: aws_settings(settings, connections.target, spec.name).watch_calls_per_second
        / settings.workers
        for spec in specs
    }
    hub = Hub(backends, rates, supervision=supervision)
    connections.watchers.append(hub.hint)
    finders: dict[str, LogFinder] = {
        spec.name: spec.load("logs").Finder(by_service[spec.name]) for spec in specs
    }
    logs = Logs(backends=backends, finders=finders, gateways=connections.logs)
    unified = make_task_rpcs(
        [
            Reads(backends=backends, max_response_bytes=settings.max_response_bytes),
            make_info(backends),
            Updates(backends, hub.refresh),
            logs,
            Watches(hub, settings.default_time_limit_seconds),
        ],
    )
    native = [
        rpc
        for spec in specs
        for rpc in handlers.make_rpcs(spec, operations[spec.name], gateways[spec.name], limits)
    ]
    return ServedTarget(target=connections.target, rpcs=[*native, *unified], hub=hub, logs=logs)


def make_task_rpcs(servers: Sequence[object]) -> list[Rpc]:
    """Return an `Rpc` for every method of TaskService.

    Args:
        servers: objects whose methods serve the RPCs, such as `get_task` for GetTask.

    Raises:
        LookupError: an RPC has no such method.
    """
    service = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
    rpcs = []
    for method in service.methods:
        behaviour = naming.field_name(method.name)
        server = next((each for each in servers if hasattr(each, behaviour)), None)
        if server is None:
            raise LookupError(f"no method serves {method.name}")
        rpcs.append(
            Rpc(
                method=f"{service.full_name}/{method.name}",
                request_class=message_factory.GetMessageClass(method.input_type),
                response_class=message_factory.GetMessageClass(method.output_type),
                behaviour=getattr(server, behaviour),
                client_streams=method.client_streaming,
                server_streams=method.server_streaming,
                waits=method.name.startswith("Wait"),
            )
        )
    return rpcs


def _stream_limits(settings: Settings) -> StreamLimits:
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


def _reflection(specs: Iterable[ServiceSpec]) -> Iterable[Rpc]:
    """Return the RPCs that describe the contract, which are the same for all targets."""
    contracts = [TASK_SERVICE, *(spec.grpc_service_full_name for spec in specs)]
    packages = [each.partition(".")[0] for each in contracts]
    return reflection.make_rpcs([*contracts, health.SERVICE, *reflection.SERVICES], packages)


def _backend(operations: Operations, spec: ServiceSpec, gateway: Gateway) -> TaskBackend:
    kind = load_backend(spec)
    return kind(gateway, operations[spec.name][kind.names.operation].to_message)
