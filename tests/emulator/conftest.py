from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import FARM_ID, JOB_ID, QUEUE_ID, RENDER_STEP_ID

Connect = Callable[[Emulator, str], Any]


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-west-2"
    )


@pytest.fixture
def connect(session: boto3.Session) -> Iterator[Connect]:
    """Return a function that makes boto3 clients of an emulator, without retries."""
    clients: list[Any] = []

    def make(aws: Emulator, service: str) -> Any:
        config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
        clients.append(
            session.client(service, endpoint_url=aws.endpoint_url, config=config)  # type: ignore[call-overload]  # the name is chosen by the test
        )
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def aws(clock: ManualClock) -> Iterator[Emulator]:
    with Emulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def deadline(aws: Emulator, connect: Connect) -> Any:
    return connect(aws, "deadline")


@pytest.fixture
def omics(aws: Emulator, connect: Connect) -> Any:
    return connect(aws, "omics")


@pytest.fixture
def job() -> dict[str, str]:
    return {"farmId": FARM_ID, "queueId": QUEUE_ID, "jobId": JOB_ID}


@pytest.fixture
def render(job: dict[str, str]) -> dict[str, str]:
    return {**job, "stepId": RENDER_STEP_ID}


@pytest.fixture
def queue(deadline: Any) -> dict[str, str]:
    """A queue of a separate farm, with a fleet of two workers."""
    farm = {"farmId": deadline.create_farm(displayName="Mine")["farmId"]}
    queue = deadline.create_queue(**farm, displayName="Q")["queueId"]
    fleet = deadline.create_fleet(
        **farm,
        displayName="F",
        roleArn="arn:aws:iam::111122223333:role/Fleet",
        maxWorkerCount=2,
        configuration={
            "customerManaged": {
                "mode": "NO_SCALING",
                "workerCapabilities": {
                    "vCpuCount": {"min": 4},
                    "memoryMiB": {"min": 1024},
                    "osFamily": "LINUX",
                    "cpuArchitectureType": "x86_64",
                },
            }
        },
    )["fleetId"]
    deadline.create_queue_fleet_association(**farm, queueId=queue, fleetId=fleet)
    return {**farm, "queueId": queue}
