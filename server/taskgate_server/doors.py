"""The doors to AWS that the settings ask for, and the queues of its events."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from taskgate_server.aws.services import LOGS, SERVICES, SQS, ServiceSpec
from taskgate_server.config import AwsSettings, Settings
from taskgate_server.upstream.breaker import Breaker, Trip
from taskgate_server.upstream.clients import make_client
from taskgate_server.upstream.connection import Connection
from taskgate_server.upstream.events import DaemonThreads, EventQueue, Hint, queue_settings
from taskgate_server.upstream.gateway import Gateway, Sharing
from taskgate_server.upstream.paced import PacedSender
from taskgate_server.upstream.ratelimit import RateLimiter, Unlimited
from taskgate_server.upstream.retries import Backoff, Retries, RetryBudget
from taskgate_server.upstream.sender import Sender

if TYPE_CHECKING:  # only who asks for metrics has their library imported
    from taskgate_server.telemetry.metrics import AwsMeter, Metrics

LONGEST_MAX_AGE_SECONDS = 300.0
"""Answers older than this are not kept, however old a caller would take them."""

NEVER = Trip(consecutive=sys.maxsize, least_failures=sys.maxsize)
"""A circuit breaker that stays closed."""

BATCH_SLOTS = 2
BATCH_LINGER_SECONDS = 0.002
"""Few slots and a short linger make full batches: with four slots and none, an upstream as fast as
the server was asked 913 times for 1,000 reads, with two slots and 2 ms some 300 times."""


def gateways(
    settings: Settings, metrics: Metrics | None
) -> tuple[dict[str, Gateway], dict[str, Gateway]]:
    """The doors to each AWS service, and to CloudWatch Logs for its tasks, by service."""
    sharing = Sharing(
        default_max_age=settings.default_max_age_seconds,
        longest_max_age=LONGEST_MAX_AGE_SECONDS,
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_bytes,
        batch_slots=BATCH_SLOTS,
        batch_linger=BATCH_LINGER_SECONDS,
    )
    # Nobody asks for the same page twice, but those who follow a log together do so at once.
    at_once = replace(sharing, max_entries=0)
    doors, logs = {}, {}

    def meter(service: str) -> AwsMeter | None:
        return metrics.aws(service) if metrics is not None else None

    for spec in SERVICES:
        aws = aws_settings(settings, spec.name)
        sender = _sender(spec, aws, meter(spec.name))
        doors[spec.name] = _gateway(sender, aws, sharing, settings)
        for_logs = aws.model_copy(update={"endpoint_url": aws.logs_endpoint_url})
        sender = _sender(LOGS, for_logs, meter(logs_label(spec.name)), on_demand=True)
        logs[spec.name] = _gateway(sender, for_logs, at_once, settings)
    return doors, logs


def logs_label(service: str) -> str:
    """How metrics name CloudWatch Logs for the tasks of an AWS service."""
    return f"{service}_logs"


def _sender(
    spec: ServiceSpec, aws: AwsSettings, meter: AwsMeter | None, *, on_demand: bool = False
) -> Sender:
    """Sends calls to one AWS service, in threads of its own."""
    executor = ThreadPoolExecutor(aws.max_concurrent_calls, thread_name_prefix=spec.name)
    make = partial(make_client, spec, aws)
    return Sender(Connection(spec, make, executor, on_demand=on_demand), executor, meter)


def _gateway(sender: Sender, aws: AwsSettings, sharing: Sharing, settings: Settings) -> Gateway:
    """The door to one AWS service."""
    paced = _paced(sender, aws, settings.workers)
    return Gateway(paced, sharing, default_time_limit=settings.default_time_limit_seconds)


def event_queues(
    settings: Settings, hint: Hint, metrics: Metrics | None = None
) -> list[EventQueue]:
    """What takes events out of the queues that the settings name, each once."""
    queues = {aws.events_queue_url: aws for aws in settings.aws.values() if aws.events_queue_url}
    meter = metrics.aws(SQS.name) if metrics is not None else None
    return [event_queue(url, aws, hint, meter) for url, aws in queues.items()]


def event_queue(
    url: str, aws: AwsSettings, hint: Hint, meter: AwsMeter | None = None
) -> EventQueue:
    """What takes events out of one queue."""
    threads, make = DaemonThreads(), partial(make_client, SQS, queue_settings(url, aws))
    sender = Sender(Connection(SQS, make, threads), threads, meter)
    return EventQueue(sender, url, _name_in, hint)


def _name_in(event: str) -> str | None:
    """See `tasks.events.name_in`. Imports the contracts, which takes 0.1 s."""
    from taskgate_server.tasks.events import name_in  # noqa: PLC0415

    return name_in(event)


def _paced(sender: Sender, aws: AwsSettings, workers: int) -> PacedSender:
    """The sender at the pace that AWS's quotas, published and set, allow each worker."""
    spec = sender.connection.spec
    published = spec.request_rates if aws.quotas == "published" else {}
    rates = {**published, **aws.request_rates}
    spec = replace(spec, request_rates={name: rate / workers for name, rate in rates.items()})
    limiter = Unlimited(spec) if aws.quotas == "off" else RateLimiter(spec)
    backoff = Backoff(max_attempts=aws.max_attempts)
    breaker = Breaker(spec, None if aws.circuit_breaker else NEVER)
    return PacedSender(sender, limiter, breaker, Retries(RetryBudget(), backoff))


def aws_settings(settings: Settings, service: str) -> AwsSettings:
    """Those of one AWS service."""
    return settings.aws.get(service, AwsSettings())
