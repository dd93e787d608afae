"""The gRPC service config: retries and load balancing of a channel.

`python -m taskgate_client.service_config` prints clients/service-config.json, which the clients of
all languages share. The format: https://github.com/grpc/grpc/blob/master/doc/service_config.md,
gRFC A6 (retries) and A17 (health checks).
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any, Final

from taskgate.v1 import task_service_pb2
from taskgate_client.aws_services import MODULES

READS: Final = ("Get", "List", "Search", "Summarize", "BatchGet")
"""Prefixes of the names of RPCs that are safe to retry."""

RETRY_POLICY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "backoffMultiplier": 2,
    "maxBackoff": "1s",
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""For a lost connection or replica. gRPC does not retry errors that Taskgate itself returns: they
carry `grpc-retry-pushback-ms`, as the server has already retried transient ones."""

RETRY_THROTTLING: Final = {"maxTokens": 100, "tokenRatio": 0.1}


@cache
def service_config(*, balance: bool, retried: tuple[str, ...] = ()) -> str:
    """Return the JSON for the channel option `grpc.service_config`.

    Args:
        retried: paths of RPCs of other services that are retried like reads.
        balance: call all servers at the channel's address in turn, as long as they report that they
            serve.
    """
    config: dict[str, Any] = {
        "methodConfig": [{"name": [*_reads(), *map(_name, retried)], "retryPolicy": RETRY_POLICY}],
        "retryThrottling": RETRY_THROTTLING,
    }
    if balance:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
        config["healthCheckConfig"] = {"serviceName": ""}
    return json.dumps(config)


def _reads() -> list[dict[str, str]]:
    return [
        {"service": service.full_name, "method": method.name}
        for module in (task_service_pb2, *MODULES)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name.startswith(READS)
    ]


def _name(path: str) -> dict[str, str]:
    _, service, method = path.split("/")
    return {"service": service, "method": method}


if __name__ == "__main__":
    config = json.loads(service_config(balance=True))
    sys.stdout.write(json.dumps(config, indent=1) + "\n")
