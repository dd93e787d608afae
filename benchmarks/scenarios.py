"""The scenarios, and the peers of Taskgate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import AIO_PYTHON, TASKGATE_PYTHON, WEB_PYTHON


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What is measured next to Taskgate, and Taskgate itself."""

    title: str
    module: str = ""
    """Of `benchmarks.peers`; empty for Taskgate."""
    python: Path = TASKGATE_PYTHON
    http: bool = False
    """Serves HTTP/1.1, not gRPC."""
    direct: int = 0
    """Calls the upstream itself, with this many threads or coroutines; 0 for servers."""
    is_limit: bool = False
    """Calls no upstream: a limit of what is possible."""


PEERS = {
    "taskgate": Peer(title="Taskgate"),
    "facade": Peer(title="(b) sync gRPC, 10 threads, boto3", module="facade"),
    "web": Peer(title="(c) FastAPI, boto3", module="web", python=WEB_PYTHON, http=True),
    "aio": Peer(title="(d) grpc.aio, aiobotocore", module="aio", python=AIO_PYTHON),
    "bare": Peer(title="(e) tuned grpc.aio, prebuilt answer", module="bare", is_limit=True),
    "native": Peer(
        title="(f) ASGI in Envoy, prebuilt answer",
        module="native",
        python=WEB_PYTHON,
        is_limit=True,
    ),
    **{
        f"direct-{count}": Peer(
            title=f"(a) boto3, {count} thread{'s'[: count > 1]}, no server",
            module="direct",
            direct=count,
        )
        for count in (1, 8, 32)
    },
    **{
        f"direct-aio-{count}": Peer(
            title=f"(g) tuned aiobotocore, {count} coroutine{'s'[: count > 1]}, no server",
            module="direct_aio",
            python=AIO_PYTHON,
            direct=count,
        )
        for count in (1, 32)
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The requests, the number of callers, and the latency of the upstream."""

    name: str
    title: str
    callers: int
    same_task: bool = False
    latency_ms: int
    judged: tuple[str, ...]
    """The peers that bars compare: they run in each round."""
    others: tuple[str, ...]
    """The peers for information: they run in every third round."""

    @property
    def peers(self) -> list[str]:
        """Return all peers, in the order of the tables."""
        return [name for name in PEERS if name in self.judged or name in self.others]

    @property
    def settings(self) -> dict[str, str]:
        """Return Taskgate's settings: its defaults, except that distinct tasks are not cached."""
        return {} if self.same_task else UNSHARED


MANY_DIRECT = ("direct-1", "direct-8", "direct-32", "direct-aio-32")
ONE_DIRECT = ("direct-1", "direct-aio-1")
SCENARIOS = (
    Scenario(
        name="many",
        title="1,000 callers, distinct tasks, upstream 30 ms",
        callers=1000,
        latency_ms=30,
        judged=("taskgate", "bare"),
        others=("facade", "web", "aio", "native", *MANY_DIRECT),
    ),
    Scenario(
        name="same",
        title="1,000 callers, the same task, `max_age` 1 s, upstream 30 ms",
        callers=1000,
        same_task=True,
        latency_ms=30,
        judged=("taskgate", "bare"),
        others=("facade", "native"),
    ),
    Scenario(
        name="busy",
        title="128 callers, distinct tasks, upstream 0 ms",
        callers=128,
        latency_ms=0,
        judged=("taskgate", "facade", "bare"),
        others=("web", "aio", "native", *MANY_DIRECT),
    ),
    Scenario(
        name="busy-slow",
        title="128 callers, distinct tasks, upstream 30 ms",
        callers=128,
        latency_ms=30,
        judged=("taskgate", "bare"),
        others=("facade", "web", "aio", "native"),
    ),
    Scenario(
        name="one-slow",
        title="1 caller, distinct tasks, upstream 30 ms",
        callers=1,
        latency_ms=30,
        judged=("taskgate", "direct-1"),
        others=("facade", "web", "aio", "bare", "native", "direct-aio-1"),
    ),
    Scenario(
        name="one-fast",
        title="1 caller, distinct tasks, upstream 0 ms",
        callers=1,
        latency_ms=0,
        judged=("taskgate", "facade"),
        others=("web", "aio", "bare", "native", *ONE_DIRECT),
    ),
)

UNSHARED = {"TASKGATE_DEFAULT_MAX_AGE_SECONDS": "0"}
"""No response is used twice: only batches help."""
