"""AWS's quotas: request rates and numbers of resources.

A rate is a token bucket per operation on the emulator's clock. HealthOmics' published rates come
from `taskgate_server.services.registry`, the only other module that the emulator shares with the
server, as a second copy of them would add nothing. AWS publishes no rates for Deadline Cloud, so it
has none by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from taskgate_emulator.core.documents import read_document, reject_unknown_keys
from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.state import Account, Key
from taskgate_server.aws.model import load_service
from taskgate_server.services.registry import SERVICES

__all__ = ["Limiter", "Quotas", "load_quotas"]

ANY = "*"
"""Matches every operation of a service that has no rate of its own."""

RATE_CODE = "L-00000000"
"""A placeholder for the quota code of request rates, which AWS has not published."""

Rates = Mapping[str, Mapping[str, float]]

# https://docs.aws.amazon.com/general/latest/gr/deadlinecloud.html
RESOURCE_LIMITS: Mapping[str, tuple[int, str]] = {
    "deadline.Farm": (2, "L-2DEF7E07"),
    "deadline.Queue": (20, "L-5E4FD3A4"),
    "deadline.Fleet": (5, "L-55A8E463"),
    "deadline.Job": (100_000, "L-5369B22C"),
    "deadline.Worker": (7_500, "L-48CC9B8E"),
}
"""The maximum number of a kind and its quota code: farms per account, others per farm."""

JOB_LIMITS: Mapping[str, tuple[int, str]] = {
    "tasks per job": (10_000, "L-CF66A041"),
    "tasks per step": (10_000, "L-3DE82FE6"),
    "steps per job": (200, "L-BABD8718"),
    "dependencies per step": (128, "L-3A262554"),
    "consumers per step": (32, "L-B38F4796"),
}
"""Limits of job templates and their quota codes, from the same page; they need `resources`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The quotas of an account."""

    rates: Rates = field(default_factory=dict)
    """Service to operation to calls per second."""
    burst_seconds: float = 1.0
    """The size of a bucket in seconds of its rate, at least one call. AWS publishes none."""
    resources: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def load_quotas(choice: str | Path | Mapping[str, Any]) -> Quotas:
    """Return the quotas of a setting.

    Args:
        choice: `off`, `aws`, a file, or the contents of such a file: `burst_seconds`, `resources`
            (true for AWS's limits), and for each service a table of operations to calls per second.

    Raises:
        ValueError: the choice, an operation or a key is unknown.
    """
    if choice == "off":
        return Quotas()
    if choice == "aws":
        rates = {spec.name: spec.request_rates for spec in SERVICES}
        return Quotas(rates=rates, resources=RESOURCE_LIMITS)
    where = "quotas" if isinstance(choice, Mapping) else str(choice)
    document = choice if isinstance(choice, Mapping) else read_document(Path(choice))
    names = [spec.name for spec in SERVICES]
    reject_unknown_keys(where, document, [*names, "burst_seconds", "resources"])
    rates = {name: _rates(where, name, document[name]) for name in names if name in document}
    return Quotas(
        rates=rates,
        burst_seconds=_positive(where, "burst_seconds", document.get("burst_seconds", 1.0)),
        resources=RESOURCE_LIMITS if document.get("resources") else {},
    )


def _rates(where: str, service: str, table: Any) -> dict[str, float]:
    if not isinstance(table, Mapping):
        raise ValueError(f"{where}: {service} must be a table of operations")  # noqa: TRY004 an invalid file, not a type error
    reject_unknown_keys(f"{where}: {service}", table, [*load_service(service).operation_names, ANY])
    return {name: _positive(where, name, rate) for name, rate in table.items()}


def _positive(where: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ValueError(f"{where}: {name} must be a number greater than 0")
    return float(value)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: datetime


class Limiter:
    """Enforces quotas.

    Args:
        quotas: to enforce; may be replaced at any time.
    """

    def __init__(self, quotas: Quotas) -> None:
        self.quotas = quotas
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def admit(self, service: str, operation: str, now: datetime) -> None:
        """Count a call.

        Raises:
            AwsError: the call exceeds the rate.
        """
        rates = self.quotas.rates.get(service)
        rate = rates.get(operation, rates.get(ANY)) if rates else None
        if rate is None:
            return
        size = max(1.0, rate * self.quotas.burst_seconds)
        bucket = self._buckets.setdefault((service, operation), _Bucket(size, now))
        elapsed = max(0.0, (now - bucket.at).total_seconds())
        bucket.tokens, bucket.at = min(size, bucket.tokens + elapsed * rate), now
        if bucket.tokens < 1.0:
            raise throttling_error(service, seconds=(1.0 - bucket.tokens) / rate)
        bucket.tokens -= 1.0

    def admit_resource(self, account: Account, kind: str, key: Key) -> None:
        """Check that another resource of a kind may be created.

        Raises:
            AwsError: the maximum is reached.
        """
        if kind not in self.quotas.resources:
            return
        maximum, code = self.quotas.resources[kind]
        farm = key[:1] if len(key) > 1 else ()
        if sum(other[: len(farm)] == farm for other in account.table(kind)) < maximum:
            return
        service, _, noun = kind.partition(".")
        message = f"There are {maximum} of type {noun.lower()} already"
        raise _exceeded(service, noun.lower(), code, message)

    def admit_number(self, what: str, number: int) -> None:
        """Check a number of a job against `JOB_LIMITS`.

        Raises:
            AwsError: the number exceeds the limit.
        """
        maximum, code = JOB_LIMITS[what]
        if self.quotas.resources and number > maximum:
            resource_type = "job" if what.endswith("job") else "step"
            message = f"There may be {maximum} {what}, and the template makes {number}"
            raise _exceeded("deadline", resource_type, code, message)


def _exceeded(service: str, resource_type: str, code: str, message: str) -> AwsError:
    members = {
        "reason": "SERVICE_QUOTA_EXCEEDED_EXCEPTION",
        "resourceType": resource_type,
        "serviceCode": service,
        "quotaCode": code,
    }
    return AwsError("ServiceQuotaExceededException", message, members)


def throttling_error(service: str, *, seconds: float) -> AwsError:
    """Return the error of a throttled call; its wait is in whole seconds."""
    return AwsError(
        "ThrottlingException",
        "Rate exceeded",
        {
            "serviceCode": service,
            "quotaCode": RATE_CODE,
            "retryAfterSeconds": max(1, round(seconds)),
        },
    )
