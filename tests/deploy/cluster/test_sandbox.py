"""The chart in a real Kubernetes, by the docs' own commands: docs/kubernetes.md, "Try it".

That Kubernetes is 1.20, the newest whose source Debian has whole, and the chart needs 1.30. So a
post-renderer (older.py has each line of it) puts what 1.20 lacks in its words: gRPC probes become
`taskgate health` in the container. NetworkPolicies are created but not enforced.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cluster.images import SANDBOX
from tests.deploy.cluster.node import Node, wait_until
from tests.deploy.cluster.shell import LEFT_OUT, Shell, documented

pytestmark = pytest.mark.cluster

PODS = "/api/v1/namespaces/taskgate/pods?labelSelector=app.kubernetes.io/component=server"


def pods(node: Node) -> list[dict[str, Any]]:
    """The server's, those that go included."""
    found: list[dict[str, Any]] = node.get(PODS)["items"]
    return found


def container(pod: dict[str, Any], name: str = "taskgate") -> dict[str, Any]:
    """What Kubernetes knows of one."""
    (status,) = (each for each in pod["status"]["containerStatuses"] if each["name"] == name)
    found: dict[str, Any] = status
    return found


@pytest.fixture(scope="module")
def installed(shell: Shell, figures: list[str]) -> None:
    """By the first block of commands, the last of which is `helm test`."""
    (block, *_) = documented("Try it")
    left_out = [line for line in block if line.startswith(LEFT_OUT)]
    typed = [line for line in block if line not in left_out]
    assert [len(left_out), len(typed)] == [2, 2]
    assert all(SANDBOX.rpartition("/")[2] in line for line in left_out)
    began = time.monotonic()
    output = shell.run(typed[0])
    figures.append(f"helm install --wait: ready after {time.monotonic() - began:.1f} s")
    assert "STATUS: deployed" in output
    began = time.monotonic()
    assert "Phase:          Succeeded" in shell.run(typed[1])
    figures.append(f"helm test: {time.monotonic() - began:.1f} s")


@pytest.mark.usefixtures("installed")
def test_the_docs_commands_show_the_demo_tasks(shell: Shell, tmp_path: Path) -> None:
    _, _, forward, commands, *_ = documented("Try it")
    log = tmp_path / "forward.log"
    with shell.running(forward[0], log):
        wait_until(lambda: "Forwarding from 127.0.0.1:50051" in log.read_text())
        info, listed, got, watched = commands
        assert "omics" in shell.run(info)
        assert "6657063" in shell.run(listed)
        assert "6657063" in shell.run(got)
        assert watched.endswith("# live; Ctrl-C ends it")
        seen = tmp_path / "watch.log"
        with shell.running(watched.partition("#")[0], seen) as process:
            wait_until(lambda: "snapshot of 6 tasks" in seen.read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
    assert "lost connection" not in log.read_text()


@pytest.mark.usefixtures("installed")
def test_a_killed_server_is_restarted(node: Node, figures: list[str]) -> None:
    (pod,) = pods(node)
    before = container(pod)
    pid = node.pid(before["containerID"])
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        now = container(pods(node)[0])
        return bool(now["restartCount"] == before["restartCount"] + 1 and now["ready"])

    wait_until(is_back)
    figures.append(f"killed: started again and ready after {time.monotonic() - began:.1f} s")
    (after,) = pods(node)
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert container(after)["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    assert container(after, "emulator")["restartCount"] == 0


@pytest.mark.usefixtures("installed")
def test_a_change_of_settings_rolls_the_pod(node: Node, shell: Shell, figures: list[str]) -> None:
    (old,) = pods(node)
    began = time.monotonic()
    shell.run(
        "helm upgrade taskgate deploy/helm/taskgate --namespace taskgate "
        "--values deploy/helm/taskgate/values-sandbox.yaml --set settings.log_level=DEBUG --wait"
    )
    figures.append(f"helm upgrade --wait of a setting: {time.monotonic() - began:.1f} s")
    wait_until(lambda: [each["metadata"]["uid"] for each in pods(node)] != [old["metadata"]["uid"]])
    wait_until(lambda: len(pods(node)) == 1)
    (new,) = pods(node)
    assert container(new)["ready"]
    name = new["metadata"]["name"]
    settings = shell.run(
        f"kubectl --namespace taskgate exec {name} --container taskgate -- "
        "cat /etc/taskgate/settings/settings.toml"
    )
    assert 'log_level = "DEBUG"' in settings


@pytest.mark.usefixtures("installed")
def test_a_deleted_pod_drains_and_exits_with_0(
    node: Node, shell: Shell, tmp_path: Path, figures: list[str]
) -> None:
    (old,) = pods(node)
    name, ident = old["metadata"]["name"], container(old)["containerID"].rpartition("/")[2]
    written = tmp_path / "server.log"
    with (
        node.events(tmp_path / "events.log") as events,
        shell.running(
            f"kubectl --namespace taskgate logs --follow {name} --container taskgate", written
        ),
    ):
        wait_until(written.read_text)
        began = time.monotonic()
        shell.run(f"kubectl --namespace taskgate delete pod {name} --wait=true")
        took = time.monotonic() - began
        (ended,) = wait_until(lambda: [each for each in events() if each["container_id"] == ident])
    assert ended.get("exit_status", 0) == 0
    grace = old["spec"]["terminationGracePeriodSeconds"]
    figures.append(f"a pod deleted: gone after {took:.1f} s, its grace is {grace} s; exit status 0")
    assert took < grace
    # kubectl adds a line of its own, when the container has gone before it.
    lines = [json.loads(line) for line in written.read_text().splitlines() if line.startswith("{")]
    assert [line["cut"] for line in lines if line.get("message") == "stopped"] == [0]
    wait_until(lambda: [container(each)["ready"] for each in pods(node)] == [True])


def test_uninstalling_removes_everything(node: Node, shell: Shell, figures: list[str]) -> None:
    """Last in this file: by the docs' command."""
    began = time.monotonic()
    shell.run("helm uninstall taskgate --namespace taskgate")
    wait_until(lambda: not node.get("/api/v1/namespaces/taskgate/pods")["items"])
    figures.append(f"helm uninstall: all gone after {time.monotonic() - began:.1f} s")
    kinds = shell.run("kubectl api-resources --verbs=list --namespaced -o name").split()
    kept = [kind for kind in kinds if not kind.startswith(("events", "pods.metrics"))]
    left = shell.run(f"kubectl --namespace taskgate get {','.join(kept)} -o name").split()
    ours = [name for name in left if "default-token" not in name and "kube-root-ca" not in name]
    assert ours == ["serviceaccount/default"]
