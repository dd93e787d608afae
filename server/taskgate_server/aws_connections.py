"""The gateways to AWS for each target, and the queues of its events.

A target is an AWS account and region. Each has its own gateways, since its quotas, caches, calls,
circuit breakers and events are independent of those of other targets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.config import AwsSettings, Settings
from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.services import registry
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.services.supporting import LOGS, SQS
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import make_client
from taskgate_server.upstream.aws_client.sender import Sender
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, Thresholds
from taskgate_server.upstream.event_queue import (
    EventOrigin,
    EventQueue,
    EventReading,
    Hint,
    OriginOf,
    queue_settings,
)
from taskgate_server.upstream.gateway import Gateway, Sharing
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.limiter import RateLimiter, UnlimitedRate
from taskgate_server.upstream.retries import Backoff, Retries, RetryBudget

if TYPE_CHECKING:  # their libraries are imported only if metrics and traces are enabled
    from taskgate_server.telemetry.metrics import AwsMeter, Metrics
    from taskgate_server.telemetry.traces import AwsTracer, Traces

MAX_CACHE_AGE_SECONDS = 300.0
"""Older responses are not cached, whatever `max_age` callers accept."""

ALWAYS_CLOSED = Thresholds(consecutive_failures=sys.maxsize, min_failures=sys.maxsize)
"""Of a circuit breaker that never opens."""

BATCH_SLOTS = 3
BATCH_LINGER_SECONDS = 0.005
"""With an upstream of 30 ms, 20 callers wait 50 ms and cause 50 calls for 1,000 reads. With two
slots they caused 116; with a linger of 2 ms more, and waited longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Metrics and traces, where they are enabled."""

    metrics: Metrics | None = None
    traces: Traces | None = None

    def of(self, target: str, service: str) -> tuple[AwsMeter | None, AwsTracer | None]:
        """Return what observes the calls to an AWS service of a target."""
        return (
            self.metrics.aws(target, service) if self.metrics is not None else None,
            self.traces.aws(target, service) if self.traces is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConnections:
    """The gateways and event queues of one target."""

    target: str
    gateways: dict[str, Gateway]
    """To each AWS service, by its name."""
    logs: dict[str, Gateway]
    """To CloudWatch Logs for the tasks of each AWS service."""
    queues: list[EventQueue]
    watchers: list[Hint]
    """Get the name of each task or parent that may have changed, from the queues."""

    def labelled(self) -> Iterator[tuple[tuple[str, str], Gateway]]:
        """Yield all gateways with their metric labels, target and service."""
        for name, gateway in self.gateways.items():
            yield (self.target, name), gateway
        for name, gateway in self.logs.items():
            yield (self.target, logs_label(name)), gateway


def open_connections(settings: Settings, target: str, telemetry: Telemetry) -> TargetConnections:
    """Return the gateways of one target, without calling AWS."""
    sharing = Sharing(
        default_max_age=settings.default_max_age_seconds,
        max_cache_age=MAX_CACHE_AGE_SECONDS,
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_bytes,
        batch_slots=BATCH_SLOTS,
        batch_linger=BATCH_LINGER_SECONDS,
    )
    # Pages of logs are not read twice, except at the same time by several followers of a log.
    uncached = replace(sharing, max_entries=0)
    gateways, logs, watchers = {}, {}, list[Hint]()

    def hint(name: str) -> None:
        for watcher in watchers:
            watcher(name)

    specs = registry.select(settings.services)
    for spec in specs:
        aws = aws_settings(settings, target, spec.name)
        sender = _make_sender(spec, aws, target, telemetry.of(target, spec.name))
        gateways[spec.name] = _make_gateway(sender, aws, sharing, settings)
        for_logs = aws.model_copy(
            update={"endpoint_url": aws.logs_endpoint_url, "endpoint_urls": {}}
        )
        label = logs_label(spec.name)
        observers = telemetry.of(target, label)
        sender = _make_sender(LOGS, for_logs, target, observers, on_demand=True)
        logs[spec.name] = _make_gateway(sender, for_logs, uncached, settings)
    urls = event_queues(aws_settings(settings, target, spec.name) for spec in specs)
    queues = [
        make_event_queue(url, aws, hint, telemetry.of(target, SQS.name)[0], _origins(gateways))
        for url, aws in urls.items()
    ]
    return TargetConnections(
        target=target, gateways=gateways, logs=logs, queues=queues, watchers=watchers
    )


def logs_label(service: str) -> str:
    """Return the metric label of CloudWatch Logs for the tasks of an AWS service."""
    return f"{service}_logs"


def _make_sender(
    spec: ServiceSpec,
    aws: AwsSettings,
    target: str,
    observers: tuple[AwsMeter | None, AwsTracer | None],
    *,
    on_demand: bool = False,
) -> Sender:
    """Return a sender for one AWS service."""
    make = partial(make_client, spec, aws)
    shown = "" if target == DEFAULT_TARGET else target  # in log lines
    threads = DaemonThreads(spec.name)
    connection = Connection(spec, make, threads, on_demand=on_demand, target=shown)
    return Sender(connection, *observers)


def _make_gateway(
    sender: Sender, aws: AwsSettings, sharing: Sharing, settings: Settings
) -> Gateway:
    """Return a gateway that uses an equal share of AWS's quotas in each worker."""
    spec = sender.connection.spec
    published = spec.request_rates if aws.quotas == "published" else {}
    rates = {**published, **aws.request_rates}
    shares = {name: rate / settings.workers for name, rate in rates.items()}
    spec = replace(spec, request_rates=shares)
    make_limiter = UnlimitedRate if aws.quotas == "off" else RateLimiter
    limiter = make_limiter(spec, max_in_flight=aws.max_concurrent_calls)
    backoff = Backoff(max_attempts=aws.max_attempts)
    breaker = CircuitBreaker(spec, None if aws.circuit_breaker else ALWAYS_CLOSED)
    pipeline = UpstreamPipeline(sender, limiter, breaker, Retries(RetryBudget(), backoff))
    return Gateway(pipeline, sharing, default_timeout=settings.default_time_limit_seconds)


def event_queues(services: Iterable[AwsSettings]) -> dict[str, AwsSettings]:
    """Return the event queues of some settings, each once, by URL."""
    return {aws.events_queue_url: aws for aws in services if aws.events_queue_url}


def make_event_queue(
    url: str,
    aws: AwsSettings,
    hint: Hint,
    meter: AwsMeter | None = None,
    origin_of: OriginOf = lambda _: EventOrigin(),
) -> EventQueue:
    """Return the receiver of one queue; see `EventQueue`."""
    threads, make = DaemonThreads("events"), partial(make_client, SQS, queue_settings(url, aws))
    # No traces: a queue is polled all the time, for no RPC.
    sender = Sender(Connection(SQS, make, threads), meter)
    return EventQueue(sender, url, _read_event, hint, origin_of=origin_of)


def _origins(gateways: Mapping[str, Gateway]) -> OriginOf:
    """Return a function that returns where an AWS service is, once its client exists."""

    def origin_of(service: str) -> EventOrigin:
        client = gateways[service].connection.client
        return EventOrigin() if client is None else EventOrigin(client.account, client.region)

    return origin_of


def _read_event(body: str) -> EventReading:
    """See `tasks.events.read_event`, whose import takes 0.1 s for the contracts."""
    from taskgate_server.tasks.events import read_event  # noqa: PLC0415

    return read_event(body)


def aws_settings(settings: Settings, target: str, service: str) -> AwsSettings:
    """Return the settings of a target's AWS service."""
    if target == DEFAULT_TARGET:
        return settings.aws.get(service, AwsSettings())
    both = settings.targets[target]
    own = both.aws.get(service, AwsSettings())
    shared = {"region": both.region}
    if "role_arn" not in own.model_fields_set:
        shared |= {"role_arn": both.role_arn, "role_external_id": both.role_external_id}
    given = {name: getattr(own, name) for name in own.model_fields_set}
    return own.model_copy(update={**shared, **given})
