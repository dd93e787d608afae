"""GetServerInfo of TaskService: the version, the AWS services and the targets of the server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from taskgate.v1 import task_service_pb2
from taskgate_server.calls import CallContext
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.rate_limit.token_bucket import TokenBucket

MayUseTarget: TypeAlias = Callable[[Any, str], bool]
"""Returns whether a caller, as `CallContext.principal`, may use a target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Serves the method for the callers of one target."""

    backends: Mapping[str, TaskBackend]
    """Of the target, by the name of the AWS service."""
    gateways: Mapping[str, Mapping[str, Gateway]]
    """Of every target, the default one first, by the names of target and AWS service."""
    may_use_target: MayUseTarget
    """A caller must not learn which other targets exist."""
    version: str
    """The version of the server."""
    operation_counts: Mapping[str, int]
    """The number of operations in the contract of each AWS service."""

    async def get_server_info(
        self,
        request: task_service_pb2.GetServerInfoRequest,  # noqa: ARG002  # it is empty
        call: CallContext,
    ) -> task_service_pb2.GetServerInfoResponse:
        """Return the response of GetServerInfo."""
        default, *others = (
            name for name in self.gateways if self.may_use_target(call.principal, name)
        )
        return task_service_pb2.GetServerInfoResponse(
            version=self.version,
            aws_services=[self._aws_service(each) for _, each in sorted(self.backends.items())],
            targets=[_target(name, self.gateways[name]) for name in (default, *sorted(others))],
        )

    def _aws_service(self, backend: TaskBackend) -> task_service_pb2.AwsService:
        gateway = backend.gateway
        reason = gateway.not_ready_reason
        buckets = gateway.pipeline.limiter.buckets
        return task_service_pb2.AwsService(
            name=gateway.spec.name,
            title=gateway.spec.title,
            region=_region(gateway),
            ready=reason is None,
            not_ready_reason=reason,
            grpc_service=gateway.spec.grpc_service_full_name,
            operation_count=self.operation_counts[gateway.spec.name],
            task_methods=sorted(backend.methods()),
            quota_usage=[_quota_usage(name, buckets[name]) for name in sorted(buckets)],
        )


def _target(name: str, gateways: Mapping[str, Gateway]) -> task_service_pb2.Target:
    services = [
        task_service_pb2.TargetService(
            name=service, region=_region(gateway), ready=gateway.not_ready_reason is None
        )
        for service, gateway in sorted(gateways.items())
    ]
    return task_service_pb2.Target(name=name, services=services)


def _region(gateway: Gateway) -> str | None:
    client = gateway.connection.client
    return client.region if client else None


def _quota_usage(operation: str, bucket: TokenBucket) -> task_service_pb2.QuotaUsage:
    rate = bucket.rate
    return task_service_pb2.QuotaUsage(
        operation=operation, limit=None if rate == math.inf else rate, used=bucket.sent_rate
    )
