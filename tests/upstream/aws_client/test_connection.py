"""The client of an AWS service: made, refused and replaced, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.services.supporting import LOGS, SQS
from taskgate_server.upstream.aws_client.connection import Connection, CredentialCheck
from taskgate_server.upstream.aws_client.factory import AwsClient, ClientResponse
from tests.support.aws_clients import unconnected, unconnected_client
from tests.support.polling import wait_until_async


class Pauses:
    """A sleep that the test ends, and that records its seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        over = asyncio.Event()
        self._begun.put_nowait(over)
        await over.wait()

    async def end(self) -> None:
        (await self._begun.get()).set()


def client() -> AwsClient:
    return unconnected_client()


def refused() -> errors.TaskgateError:
    return errors.TaskgateError(
        code=grpc.StatusCode.UNAVAILABLE, message="refused", reason="UPSTREAM_CREDENTIALS"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(AwsClient):
    """A client whose calls end as given, by operation."""

    outcomes: dict[str, Exception]
    called: list[str] = field(default_factory=list)

    async def call(self, operation: str, params: Mapping[str, Any]) -> ClientResponse:
        assert params == {}
        self.called.append(operation)
        if operation in self.outcomes:
            raise self.outcomes[operation]
        return ClientResponse({}, "r-1", 2)


def probed(**outcomes: Exception) -> Probed:
    return Probed(**unconnected(), outcomes=outcomes)


def client_error(code: str, status: int = 403) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ListRuns")


class Maker:
    """Makes clients, or fails, in the order given."""

    def __init__(self, *results: AwsClient | Exception) -> None:
        self.results = list(results)

    def __call__(self) -> AwsClient:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def running(
    make: Callable[[], AwsClient], pauses: Pauses, executor: ThreadPoolExecutor
) -> tuple[Connection, asyncio.Task[None]]:
    connection = Connection(OMICS, make, executor, sleep=pauses)
    return connection, asyncio.create_task(connection.run())


async def test_missing_credentials_are_retried_with_growing_pauses() -> None:
    made = client()
    pauses = Pauses()
    with ThreadPoolExecutor(1) as executor:
        maker = Maker(*[NoCredentialsError() for _ in range(7)], made)
        connection, task = await running(maker, pauses, executor)
        with pytest.raises(errors.TaskgateError, match="no AWS credentials"):
            await connection.get_client()
        for tries in range(1, 8):
            await pauses.end()
            await connection.wait_for_change(tries)
        assert await connection.get_client() is made
        assert connection.error is None
        assert pauses.seconds == [1, 2, 4, 8, 16, 30, 30]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_refused_client_is_replaced_once() -> None:
    first, second = client(), client()
    pauses = Pauses()
    with ThreadPoolExecutor(1) as executor:
        connection, task = await running(Maker(first, second), pauses, executor)
        assert await connection.get_client() is first
        connection.discard(first, refused())
        with pytest.raises(errors.TaskgateError, match="refused"):
            await connection.get_client()
        seen = await connection.wait_for_change(1)
        await pauses.end()
        await connection.wait_for_change(seen)
        assert await connection.get_client() is second
        connection.discard(first, refused())  # a late response to a call with the old client
        assert connection.client is second
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_client_on_demand_is_made_at_its_first_use() -> None:
    maker = Maker(client())
    with ThreadPoolExecutor(1) as executor:
        connection = Connection(OMICS, maker, executor, on_demand=True)
        running = asyncio.ensure_future(connection.run())
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(maker.results) == 1
        assert await connection.get_client() == client()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        client_error("AccessDeniedException"),
        client_error("ThrottlingException", 429),
        client_error("ServiceUnavailable", 503),
        client_error("ExpiredToken", 503),
        ConnectTimeoutError(endpoint_url="http://aws.test"),
    ],
    ids=["accepted", "not allowed", "throttled", "unavailable", "expired with 503", "unreachable"],
)
async def test_an_unconfirmed_refusal_keeps_the_client(outcome: Exception | None) -> None:
    made = probed(**({} if outcome is None else {"ListRuns": outcome}))
    with ThreadPoolExecutor(1) as executor:
        connection, task = await running(Maker(made), Pauses(), executor)
        await connection.get_client()
        connection.record_refused(made, "GetWorkflow", refused())
        await wait_until_async(lambda: "GetWorkflow" in connection._check._paused_until)
        for _ in range(20):
            connection.record_refused(made, "GetWorkflow", refused())
            assert not connection._check.suspected.is_set(), "it is explained for now"
            assert await connection.get_client() is made
        connection.record_refused(made, "ListRuns", refused())
        await wait_until_async(lambda: "ListRuns" in connection._check._paused_until)
        assert made.called == ["ListRuns", "ListWorkflows"]
        assert await connection.get_client() is made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_confirmed_refusal_replaces_the_client() -> None:
    expired = probed(ListRuns=client_error("ExpiredTokenException"))
    still, renewed, pauses = probed(ListRuns=client_error("ExpiredToken")), probed(), Pauses()
    with ThreadPoolExecutor(1) as executor:
        connection, task = await running(Maker(expired, still, renewed), pauses, executor)
        assert await connection.get_client() is expired
        connection.record_refused(expired, "GetRun", refused())
        await connection.wait_for_change(1)
        with pytest.raises(errors.TaskgateError, match="refused"):
            await connection.get_client()
        await pauses.end()  # the next client is verified before it is used
        await connection.wait_for_change(2)
        with pytest.raises(errors.TaskgateError, match="refuses this server's AWS credentials"):
            await connection.get_client()
        await pauses.end()
        await connection.wait_for_change(3)
        assert await connection.get_client() is renewed
        assert (still.called, renewed.called) == (["ListRuns"], ["ListRuns"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_accepted_call_outweighs_two_refused_operations() -> None:
    made = probed(ListRuns=client_error("MissingAuthenticationTokenException"))
    with ThreadPoolExecutor(1) as executor:
        connection, task = await running(Maker(made), Pauses(), executor)
        await connection.get_client()
        connection.record_refused(made, "GetWorkflow", refused())
        connection.record_accepted(made, "GetRun")
        await wait_until_async(lambda: "GetWorkflow" in connection._check._paused_until)
        assert await connection.get_client() is made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_probes_for_a_refused_operation_become_rare() -> None:
    now = 0.0
    check = CredentialCheck(("ListRuns",), lambda: now)
    due = []
    for tenth in range(1200):
        now = tenth / 10
        check.record_refused("GetWorkflow", refused())
        if check.suspected.is_set():
            check.suspected.clear()
            due.append(now)
            assert check.verdict(probe_refused=False) is None
    assert due == pytest.approx([0, 1, 3, 7, 15, 31, 61, 91], abs=0.2)
    check.record_accepted("GetWorkflow")
    check.record_refused("GetWorkflow", refused())
    assert check.suspected.is_set()


def test_without_another_operation_to_probe_two_must_be_refused() -> None:
    check = CredentialCheck(("ListRuns",), lambda: 0.0)
    check.record_refused("ListRuns", refused())
    assert check.probe is None
    assert check.verdict(probe_refused=None) is None
    for operation in ("GetRun", "ListWorkflows"):
        check.record_refused(operation, refused())
    assert check.verdict(probe_refused=True) is not None


@pytest.mark.parametrize("spec", [*SERVICES, LOGS, SQS], ids=lambda spec: spec.name)
def test_the_probes_have_no_required_parameters(spec: ServiceSpec) -> None:
    assert spec.credential_probes
    for name in spec.credential_probes:
        shape = model.load_service(spec.name).operation_model(name).input_shape
        assert shape is None or not shape.required_members
