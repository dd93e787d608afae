"""The doors to AWS that the settings ask for, and the queues of its events.

Each target, which is an AWS account and region, has doors of its own: its quotas, caches, calls in
flight, circuit breakers and events have nothing to do with those of another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.config import AwsSettings, Settings
from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.services.supporting import LOGS, SQS
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import make_client
from taskgate_server.upstream.aws_client.sender import Sender
from taskgate_server.upstream.aws_client.threads import EXTRA_THREADS
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, Trip
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
from taskgate_server.upstream.rate_limit.limiter import RateLimiter, Unlimited
from taskgate_server.upstream.retries import Backoff, Retries, RetryBudget

if TYPE_CHECKING:  # only who asks for metrics and traces has their libraries imported
    from taskgate_server.telemetry.metrics import AwsMeter, Metrics
    from taskgate_server.telemetry.traces import AwsTracer, Traces

MAX_CACHE_AGE_SECONDS = 300.0
"""Answers older than this are not kept, however old a caller would take them."""

NEVER = Trip(consecutive=sys.maxsize, least_failures=sys.maxsize)
"""A circuit breaker that stays closed."""

BATCH_SLOTS = 2
BATCH_LINGER_SECONDS = 0.002
"""Few slots and a short linger make full batches: with four slots and none, an upstream as fast as
the server was asked 913 times for 1,000 reads, with two slots and 2 ms some 300 times."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Who looks at the calls to one AWS service of a target."""

    target: str
    """Empty for the default one: the log does not tell it."""
    meter: AwsMeter | None
    tracer: AwsTracer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What counts and traces calls, where the settings ask for it."""

    metrics: Metrics | None = None
    traces: Traces | None = None

    def of(self, target: str, service: str) -> Observed:
        """What looks at an AWS service of a target."""
        return Observed(
            "" if target == DEFAULT_TARGET else target,
            self.metrics.aws(target, service) if self.metrics is not None else None,
            self.traces.aws(target, service) if self.traces is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConnections:
    """Those of one target."""

    target: str
    gateways: dict[str, Gateway]
    """To each AWS service, by its name."""
    logs: dict[str, Gateway]
    """To CloudWatch Logs for the tasks of each."""
    hints: Hints
    queues: list[EventQueue]

    @property
    def all(self) -> list[Gateway]:
        """All gateways."""
        return [*self.gateways.values(), *self.logs.values()]

    def labelled(self) -> Iterator[tuple[tuple[str, str], Gateway]]:
        """All gateways with the labels that metrics have for them: target and service."""
        for name, gateway in self.gateways.items():
            yield (self.target, name), gateway
        for name, gateway in self.logs.items():
            yield (self.target, logs_label(name)), gateway


class Hints:
    """Passes hints on to whoever watches, once there is somebody."""

    def __init__(self) -> None:
        self.watcher: Callable[[str], None] | None = None

    def __call__(self, name: str) -> None:
        """AWS sent an event about the task or parent of that name."""
        if self.watcher is not None:
            self.watcher(name)


def targets(settings: Settings) -> list[str]:
    """The names of all, the default one first."""
    return [DEFAULT_TARGET, *settings.targets]


def open_connections(settings: Settings, target: str, telemetry: Telemetry) -> TargetConnections:
    """The doors of one target; no call is made yet."""
    sharing = Sharing(
        default_max_age=settings.default_max_age_seconds,
        max_cache_age=MAX_CACHE_AGE_SECONDS,
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_bytes,
        batch_slots=BATCH_SLOTS,
        batch_linger=BATCH_LINGER_SECONDS,
    )
    # Nobody asks for the same page twice, but those who follow a log together do so at once.
    at_once = replace(sharing, max_entries=0)
    gateways, logs, hints = {}, {}, Hints()

    for spec in SERVICES:
        aws = aws_settings(settings, target, spec.name)
        sender = _sender(spec, aws, telemetry.of(target, spec.name))
        gateways[spec.name] = _gateway(sender, aws, sharing, settings)
        for_logs = aws.model_copy(
            update={"endpoint_url": aws.logs_endpoint_url, "endpoint_urls": {}}
        )
        label = logs_label(spec.name)
        sender = _sender(LOGS, for_logs, telemetry.of(target, label), on_demand=True)
        logs[spec.name] = _gateway(sender, for_logs, at_once, settings)
    urls = event_queues(aws_settings(settings, target, spec.name) for spec in SERVICES)
    queues = [
        event_queue(url, aws, hints, telemetry.of(target, SQS.name), _origins(gateways))
        for url, aws in urls.items()
    ]
    return TargetConnections(
        target=target, gateways=gateways, logs=logs, hints=hints, queues=queues
    )


def logs_label(service: str) -> str:
    """How metrics name CloudWatch Logs for the tasks of an AWS service."""
    return f"{service}_logs"


def _sender(
    spec: ServiceSpec, aws: AwsSettings, observed: Observed, *, on_demand: bool = False
) -> Sender:
    """Sends calls to one AWS service, in threads of its own."""
    calls = aws.max_concurrent_calls
    executor = ThreadPoolExecutor(calls + EXTRA_THREADS, thread_name_prefix=spec.name)
    make = partial(make_client, spec, aws)
    connection = Connection(spec, make, executor, on_demand=on_demand, target=observed.target)
    return Sender(connection, executor, observed.meter, observed.tracer)


def _gateway(sender: Sender, aws: AwsSettings, sharing: Sharing, settings: Settings) -> Gateway:
    """The door to one AWS service."""
    paced = _paced(sender, aws, settings.workers)
    name = f"{sender.connection.spec.name}-payload"
    return Gateway(
        paced,
        sharing,
        default_time_limit=settings.default_time_limit_seconds,
        payload_executor=ThreadPoolExecutor(aws.max_concurrent_calls, thread_name_prefix=name),
    )


def event_queues(services: Iterable[AwsSettings]) -> dict[str, AwsSettings]:
    """The queues that some settings name, each once, by URL."""
    return {aws.events_queue_url: aws for aws in services if aws.events_queue_url}


def event_queue(
    url: str,
    aws: AwsSettings,
    hint: Hint,
    observed: Observed | None = None,
    origin_of: OriginOf = lambda _: EventOrigin(),
) -> EventQueue:
    """What takes events out of one queue."""
    threads, make = DaemonThreads("events"), partial(make_client, SQS, queue_settings(url, aws))
    # No traces: a queue is asked all the time, on nobody's behalf.
    meter = observed.meter if observed is not None else None
    sender = Sender(Connection(SQS, make, threads), threads, meter)
    return EventQueue(sender, url, _read_event, hint, origin_of=origin_of)


def _origins(gateways: Mapping[str, Gateway]) -> OriginOf:
    """Return where the AWS services of a target are, once their clients exist."""

    def origin_of(service: str) -> EventOrigin:
        client = gateways[service].connection.client
        return EventOrigin() if client is None else EventOrigin(client.account, client.region)

    return origin_of


def _read_event(body: str) -> EventReading:
    """See `tasks.events.read_event`. Imports the contracts, which takes 0.1 s."""
    from taskgate_server.tasks.events import read_event  # noqa: PLC0415

    return read_event(body)


def _paced(sender: Sender, aws: AwsSettings, workers: int) -> UpstreamPipeline:
    """The sender at the pace that AWS's quotas, published and set, allow each worker."""
    spec = sender.connection.spec
    published = spec.request_rates if aws.quotas == "published" else {}
    rates = {**published, **aws.request_rates}
    spec = replace(spec, request_rates={name: rate / workers for name, rate in rates.items()})
    make = Unlimited if aws.quotas == "off" else RateLimiter
    # As many as there are threads, so that none waits in the pool's own queue.
    limiter = make(spec, max_in_flight=aws.max_concurrent_calls)
    backoff = Backoff(max_attempts=aws.max_attempts)
    breaker = CircuitBreaker(spec, None if aws.circuit_breaker else NEVER)
    return UpstreamPipeline(sender, limiter, breaker, Retries(RetryBudget(), backoff))


def aws_settings(settings: Settings, target: str, service: str) -> AwsSettings:
    """How a target's AWS service is reached."""
    if target == DEFAULT_TARGET:
        return settings.aws.get(service, AwsSettings())
    both = settings.targets[target]
    own = both.aws.get(service, AwsSettings())
    shared = {"region": both.region}
    if "role_arn" not in own.model_fields_set:
        shared |= {"role_arn": both.role_arn, "role_external_id": both.role_external_id}
    given = {name: getattr(own, name) for name in own.model_fields_set}
    return own.model_copy(update={**shared, **given})
