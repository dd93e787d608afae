"""Two replicas behind a Service that kube-proxy balances, while callers call and watch.

Their AWS is outside of the cluster: the emulator in this process. With retries of gRPC turned off,
what fails is seen. See test_sandbox.py for what Kubernetes it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from taskgate_client import connect
from taskgate_client.connection import channel_options
from taskgate_emulator import Emulator, ManualClock
from tests.deploy.cluster.node import NODE, Node, wait_until
from tests.deploy.cluster.shell import Shell
from tests.support.background_callers import Caller, Failure, Watcher
from tests.support.replica_load import OWN_CONNECTION, WITHOUT_RETRIES, ChangingJob, task_calls

pytestmark = pytest.mark.cluster

SERVICE = "taskgate.farm.svc.cluster.local:50051"
HEADLESS = "dns:///taskgate-headless.farm.svc.cluster.local:50051"
PODS = "/api/v1/namespaces/farm/pods?labelSelector=app.kubernetes.io/component=server"
INSTALL = "deploy/helm/taskgate --namespace farm --values farm.yaml --wait"


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """Where pods can reach it."""
    with Emulator(host=NODE, clock=ManualClock()) as aws:
        yield aws


@pytest.fixture(scope="module", autouse=True)
def installed(aws: Emulator, shell: Shell, figures: list[str]) -> Iterator[None]:
    """Two replicas, in a namespace of their own."""
    service = {
        "region": "us-west-2",
        "quotas": "off",
        "endpoint_url": aws.endpoint_url,
        "logs_endpoint_url": aws.endpoint_url,
    }
    everybody = "I understand that anyone on the network can read and make calls"
    values = {
        "image": {"repository": "taskgate-sandbox"},
        "replicas": 2,
        "settings": {
            "plaintext_to_everyone": everybody,
            "drain_grace_seconds": 3,
            "drain_seconds": 5,
            "aws": {"deadline": service, "omics": service},
        },
        "extraEnv": [
            {"name": "AWS_ACCESS_KEY_ID", "value": "any"},
            {"name": "AWS_SECRET_ACCESS_KEY", "value": "any"},
        ],
    }
    (shell.folder / "farm.yaml").write_text(yaml.safe_dump(values))
    began = time.monotonic()
    shell.run(f"helm install taskgate {INSTALL} --create-namespace")
    figures.append(f"two replicas: installed and ready after {time.monotonic() - began:.1f} s")
    yield
    shell.run("helm uninstall taskgate --namespace farm")


def pods(node: Node) -> dict[str, Any]:
    """Those of the server by name, without those that go."""
    found = node.get(PODS)["items"]
    return {
        each["metadata"]["name"]: each
        for each in found
        if "deletionTimestamp" not in each["metadata"]
    }


def is_rolled(node: Node, before: set[str]) -> bool:
    """Whether none of those before is there, going or not."""
    return not before & {each["metadata"]["name"] for each in node.get(PODS)["items"]}


def summary(failures: list[Failure], began: float) -> str:
    """What failed how often, and when."""
    lines = []
    for what, error in sorted({(each.what, each.error) for each in failures}):
        moments = [
            each.began - began for each in failures if (each.what, each.error) == (what, error)
        ]
        lines.append(
            f"{what} {len(moments)} times {min(moments):.1f} to {max(moments):.1f} s: {error}"
        )
    return "\n".join(lines[:20])


def test_a_rolling_update_fails_no_call_and_loses_no_change(
    aws: Emulator, node: Node, shell: Shell, tmp_path: Path, figures: list[str]
) -> None:
    before = pods(node)
    assert len(before) == 2
    idents = {
        status["containerID"].rpartition("/")[2]
        for pod in before.values()
        for status in pod["status"]["containerStatuses"]
    }
    with ExitStack() as stack:
        farm = ChangingJob(aws)
        ways = {
            "service": (SERVICE, channel_options(None, balance=False)),
            "headless": (HEADLESS, channel_options(None, balance=True)),
        }
        channels = {
            way: stack.enter_context(
                grpc.insecure_channel(address, options=(OWN_CONNECTION, WITHOUT_RETRIES, *options))
            )
            for way, (address, options) in ways.items()
        }
        callers = [
            stack.enter_context(Caller(f"{way} {what}", call, pause=0.05))
            for way, channel in channels.items()
            for what, call in task_calls(channel, farm).items()
        ]
        clients = [
            stack.enter_context(connect(SERVICE)),
            stack.enter_context(connect(HEADLESS, balance=True)),
        ]
        watchers = [stack.enter_context(Watcher(each, farm.parent)) for each in clients]
        events = stack.enter_context(node.events(tmp_path / "events.log"))
        with farm:
            began = time.monotonic()
            shell.run(f"helm upgrade taskgate {INSTALL} --set settings.log_level=DEBUG")
            wait_until(lambda: is_rolled(node, set(before)))
            took = time.monotonic() - began
        wait_until(lambda: not any(each.lacks(farm.changes) for each in watchers))
        ended = {each["container_id"]: each.get("exit_status", 0) for each in events()}
    made = sum(each.calls for each in callers)
    slowest = max(each.slowest for each in callers)
    failures = [failure for each in callers for failure in each.failures]
    figures.append(
        f"two replicas rolled in {took:.1f} s: {made} calls, {len(failures)} failed, the slowest "
        f"{slowest:.1f} s; {len(farm.changes)} changes, {len(watchers)} watches have all of them"
    )
    assert not failures, summary(failures, began)
    assert min(each.calls for each in callers) > 20
    assert len(farm.changes) > 20
    assert [each.error for each in watchers] == [None, None]
    assert {ended[ident] for ident in idents} == {0}
