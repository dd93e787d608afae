"""How a channel balances and tries again, in the form that gRPC has for it in every language.

`python -m taskgate_client.service_config` writes clients/service-config.json, which the clients of
all languages share. The forms: https://github.com/grpc/grpc/blob/master/doc/service_config.md
and gRFC A6 (retries) and A17 (health).
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any, Final

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_service_pb2

READS: Final = ("Get", "List", "Search", "Summarize", "BatchGet")
"""What the names of RPCs begin with that may be made twice."""

RETRY_POLICY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "backoffMultiplier": 2,
    "maxBackoff": "1s",
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""For a lost connection or replica. An error that Taskgate itself answers is not tried again: it
says so to gRPC (`grpc-retry-pushback-ms`), and has tried again what may pass."""

RETRY_THROTTLING: Final = {"maxTokens": 100, "tokenRatio": 0.1}


@cache
def service_config(*, balance: bool) -> str:
    """The JSON for the channel option `grpc.service_config`.

    Args:
        balance: whether the channel's address names several servers, to be called in turn, each
            while it says that it serves.
    """
    config: dict[str, Any] = {
        "methodConfig": [{"name": _reads(), "retryPolicy": RETRY_POLICY}],
        "retryThrottling": RETRY_THROTTLING,
    }
    if balance:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
        config["healthCheckConfig"] = {"serviceName": ""}
    return json.dumps(config)


def _reads() -> list[dict[str, str]]:
    return [
        {"service": service.full_name, "method": method.name}
        for module in (task_service_pb2, deadline_pb2, omics_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name.startswith(READS)
    ]


if __name__ == "__main__":
    whole = json.loads(service_config(balance=True))
    sys.stdout.write(json.dumps(whole, indent=1) + "\n")
