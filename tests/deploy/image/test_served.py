"""A server in a container as Kubernetes would run it: what it may do, and that it can be called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image.engine import ROOT
from tests.deploy.image.pod import SETTINGS, Container, Pod
from tests.support.demo_names import CANCELED

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def server(pod: Pod) -> Iterator[Container]:
    """A server that is ready, with TLS for both sides."""
    with pod.serving({**SETTINGS, "TASKGATE_HTTP_PORT": "8080"}) as server:
        pod.ready(server)
        yield server


def test_the_process_is_unprivileged(server: Container) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    assert status["Groups"].split() in ([], ["65532"])
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_server_is_process_1(server: Container) -> None:
    processes = server.engine.run("top", server.name, "pid,args").splitlines()[1:]
    assert [line.split()[0] for line in processes] == ["1"]
    assert processes[0].rstrip().endswith("/opt/taskgate/bin/taskgate serve")


def test_no_folder_is_writable(server: Container) -> None:
    look = (
        "import os\n"
        "for top in os.listdir('/'):\n"
        "    for folder, _, names in os.walk('/' + top) if top not in ('dev', 'proc') else ():\n"
        "        for path in [folder, *(os.path.join(folder, name) for name in names)]:\n"
        "            if os.access(path, os.W_OK) and not os.path.islink(path): print(path)\n"
    )
    assert server.exec("python3", "-c", look) == ""
    assert "Read-only file system" in server.exec(
        "python3", "-c", "open('/tmp/x', 'w')", fails=True
    )


def test_the_python_client_calls_the_server(pod: Pod, server: Container) -> None:
    with pod.caller("call", pod.certificates) as lines:
        reported = {name: value for line in lines for name, value in line.items()}
    assert (reported["deadline"], reported["omics"]) == ("CANCELED", "FAILED"), server.log()
    assert reported["listed"] > 10
    assert reported["log"]


def test_buf_calls_the_server(pod: Pod, server: Container) -> None:
    folder = pod.certificates
    answer = pod.call(
        *(
            str(ROOT / ".venv/bin/buf"),
            "curl",
            "--protocol",
            "grpc",
            "--cacert",
            f"{folder}/ca.crt",
        ),
        *("--cert", f"{folder}/tls.crt", "--key", f"{folder}/tls.key"),
        *("--data", json.dumps({"name": CANCELED})),
        "https://127.0.0.1:50051/taskgate.v1.TaskService/GetTask",
    )
    assert json.loads(answer)["task"]["state"] == "TASK_STATE_CANCELLED", server.log()


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("/taskgate.v1.TaskService/GetTask", ("--data", json.dumps({"name": CANCELED})), CANCELED),
        ("/", (), "<title>Taskgate"),
        ("/openapi.json", (), '"openapi":"3.1.'),
    ],
)
def test_curl_calls_the_http_port(
    pod: Pod, server: Container, path: str, options: tuple[str, ...], expected: str
) -> None:
    folder = pod.certificates
    answer = pod.call(
        *("curl", "--silent", "--show-error", "--fail-with-body", "--cacert", f"{folder}/ca.crt"),
        *("--cert", f"{folder}/tls.crt", "--key", f"{folder}/tls.key"),
        *options,
        f"https://127.0.0.1:8080{path}",
    )
    assert expected in answer, server.log()


def test_the_health_check_succeeds(server: Container) -> None:
    server.engine.run("healthcheck", "run", server.name)
