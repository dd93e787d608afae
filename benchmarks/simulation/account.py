"""AWS as replicas meet it: one account with one quota for each operation, and a way there and back.

The quota is the emulator's token bucket, with the rates that AWS publishes. The rest of the server
is its own: `ModelledSender` stands where a thread of boto3's would make one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from benchmarks.simulation.world import NotThereError, World
from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.quotas import Limiter, Quotas
from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.sender import AwsResponse, Sender
from taskgate_server.upstream.in_flight import Requesters

ONE_WAY_SECONDS: Final = (0.01, 0.03)
"""How long the way to AWS takes, and the way back, with what AWS does: 20 to 60 ms for both."""
ROW_BYTES: Final = 450
_EPOCH: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that reached AWS."""

    at: float
    replica: int
    operation: str
    throttled: bool


@dataclass(slots=True)
class Account:
    """One AWS account in one region.

    Args:
        world: what there is.
        rates: calls per second, by operation; others are unlimited.
        random: for how long the way takes.
    """

    world: World
    rates: Mapping[str, float]
    random: Random
    sent: list[Sent] = field(default_factory=list)
    limiter: Limiter = field(init=False)
    _known_members: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limiter = Limiter(Quotas())
        self.allow(self.rates)

    def allow(self, rates: Mapping[str, float]) -> None:
        """Change the quotas."""
        self.rates = rates
        self.limiter.quotas = Quotas(rates={self.world.service: rates})

    async def call(self, operation: str, params: Mapping[str, Any], replica: int) -> dict[str, Any]:
        """Return AWS's response, after the latency of the network.

        Raises:
            RefusedError: AWS throttles, or has no such thing.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.random.uniform(*ONE_WAY_SECONDS))
        now, outcome = loop.time(), None
        try:
            self.limiter.admit(self.world.service, operation, _EPOCH + timedelta(seconds=now))
        except AwsError as error:
            outcome = RefusedError(self._response(operation, error.code, error.members))
        self.sent.append(Sent(now, replica, operation, outcome is not None))
        value: dict[str, Any] = {}
        if outcome is None:
            try:
                value = self.world.answer(operation, params, now)
            except NotThereError:
                outcome = RefusedError(self._response(operation, "ResourceNotFoundException", {}))
        await asyncio.sleep(self.random.uniform(*ONE_WAY_SECONDS))
        if outcome is not None:
            raise outcome
        return value

    def _response(self, operation: str, code: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return an error as botocore parses it: without members that the model lacks.

        HealthOmics has no `retryAfterSeconds` there, so its throttles name no wait.
        """
        known = self._known_members.get(code)
        if known is None:
            shapes: Any = model.load_service(self.world.service).operation_model(operation)
            members_of = {shape.name: shape.members for shape in shapes.error_shapes}
            known = self._known_members[code] = frozenset(members_of.get(code, ()))
        details = {name: value for name, value in members.items() if name in known}
        return {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {}, **details}


class RefusedError(Exception):
    """AWS's error, as botocore has it."""

    def __init__(self, response: dict[str, Any]) -> None:
        super().__init__(response["Error"]["Code"])
        self.response = response


class ModelledSender(Sender):
    """Sends calls to a modelled account; the rate limiter bounds how many are in flight."""

    __slots__ = ("_account", "_replica")

    def __init__(self, spec: ServiceSpec, account: Account, replica: int) -> None:
        clock = asyncio.get_running_loop().time
        connection = Connection(spec, _no_client, DaemonThreads("unused"))
        super().__init__(connection, wall_clock=clock, clock=clock)
        # Like its base it does not change.
        object.__setattr__(self, "_account", account)
        object.__setattr__(self, "_replica", replica)

    _account: Account
    _replica: int

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,  # noqa: ARG002  # its AWS never hangs
        on_sent: Callable[[], None] = lambda: None,
    ) -> AwsResponse:
        """See `Sender.send`."""
        on_sent()
        try:
            value = await self._account.call(operation, params, self._replica)
        except RefusedError as error:
            raise errors.from_aws(error.response, self.origin(operation)) from None
        rows = max((len(each) for each in value.values() if isinstance(each, list)), default=1)
        return AwsResponse(
            value=value,
            request_id="",
            observe_time=self.wall_clock(),
            size=rows * ROW_BYTES,
        )


def _no_client() -> Any:
    raise AssertionError("the simulation does not read it")
