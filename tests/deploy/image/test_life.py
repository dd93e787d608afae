"""How the container starts and stops, and what it says when it cannot."""

from __future__ import annotations

import os
import re
import signal
import statistics
import time
from contextlib import suppress

import pytest

from taskgate_server.config import PLAINTEXT_PHRASE
from tests.deploy.image.caller import ADDRESS
from tests.deploy.image.pod import EMULATOR, LOCAL_AWS, MUTUAL_TLS, SETTINGS, Pod, seconds_to_ready

pytestmark = pytest.mark.image

READY_SECONDS = 3.0
PROBED_SECONDS = 10.0
HALF = 0.5
STARTS = 5
HEALTH = ("taskgate", "health", "--address", "127.0.0.1:50052")
PLAINTEXT = {**LOCAL_AWS, "TASKGATE_PLAINTEXT_TO_EVERYONE": PLAINTEXT_PHRASE}
QUICK = {"TASKGATE_DRAIN_GRACE_SECONDS": "1"}


def starts(pod: Pod, *options: str) -> list[tuple[float, float]]:
    """Start the server a few times. Return the seconds and the CPU seconds until it is ready."""
    taken = []
    for _ in range(STARTS):
        with pod.caller("ready", 30) as reports:
            assert next(reports) == {"waits": True}
            with pod.serving(SETTINGS, *options) as server:
                seconds = seconds_to_ready(reports, server)
                taken.append((seconds, server.cpu_seconds()))
    return taken


def describe(taken: list[tuple[float, float]]) -> str:
    seconds, cpu = ([each[index] for each in taken] for index in (0, 1))
    return (
        f"median {statistics.median(seconds):.2f}, most {max(seconds):.2f}; "
        f"of CPU: least {min(cpu):.2f}, most {max(cpu):.2f}"
    )


def test_the_server_is_ready_soon(pod: Pod, figures: list[str]) -> None:
    """On half a core, too, by the CPU time that it needs."""
    taken = starts(pod)
    figures.append(f"seconds to ready: {describe(taken)}")
    assert statistics.median(seconds for seconds, _ in taken) < READY_SECONDS
    assert min(cpu for _, cpu in taken) < READY_SECONDS * HALF


def test_the_server_gets_ready_on_half_a_core(pod: Pod, figures: list[str]) -> None:
    """In the time that the chart's probe allows; a busy machine does not give a container its half.

    With the same image, the median was 1.7 s on a quiet machine, and 4.3 s on a busy one.
    """
    taken = starts(pod, "--cpus", str(HALF))
    figures.append(f"seconds to ready on half a core: {describe(taken)}")
    assert statistics.median(seconds for seconds, _ in taken) < PROBED_SECONDS


def test_no_module_is_compiled_at_startup(pod: Pod) -> None:
    with pod.serving({**SETTINGS, "PYTHONVERBOSE": "1", "TASKGATE_HTTP_PORT": "0"}) as server:
        pod.ready(server)
        log = server.engine.logs(server.name)
    assert re.findall(r"^# code object from '(.*\.py)'$", log, re.MULTILINE) == []
    assert len(re.findall(r"^# code object from '(.*\.pyc)'$", log, re.MULTILINE)) > 500


def test_a_server_without_credentials_is_not_healthy(pod: Pod) -> None:
    nothing = {**MUTUAL_TLS, "AWS_REGION": "us-west-2", "AWS_EC2_METADATA_DISABLED": "true"}
    with pod.serving(nothing) as server:
        end = time.monotonic() + 20
        live = ("--service", "live")
        while server.engine.run("exec", server.name, *HEALTH, *live, fails=None) != "SERVING\n":
            assert time.monotonic() < end, server.log()
        server.engine.run("healthcheck", "run", server.name, fails=True)


def test_sigterm_drains_the_server(pod: Pod, figures: list[str]) -> None:
    with pod.serving({**SETTINGS, **QUICK}) as server:
        pod.ready(server)
        with pod.caller("watch", pod.certificates) as reports:
            assert next(reports)["tasks"] > 10
            began = time.monotonic()
            status = server.stop()
            took = time.monotonic() - began
            assert next(reports) == {"end": "WATCH_END_REASON_SERVER_STOPPING"}
        stopped = [line for line in server.log() if line["message"] == "stopped"]
    figures.append(f"seconds to drain with an open watch and 1 s of grace: {took:.2f}")
    assert status == 0
    assert [line["cut"] for line in stopped] == [0]


def test_a_signal_during_startup_stops_the_server(pod: Pod) -> None:
    with pod.serving(SETTINGS) as server:
        process = server.pid
        with suppress(ProcessLookupError):  # it has ended
            while True:
                os.kill(process, signal.SIGTERM)
                time.sleep(0.01)
        assert server.engine.run("wait", server.name).strip() == "0"
        assert server.log() == []


def test_sigterm_drains_the_workers(pod: Pod) -> None:
    with pod.serving({**SETTINGS, **QUICK, "TASKGATE_WORKERS": "2"}) as server:
        pod.ready(server)
        assert len(server.engine.run("top", server.name, "pid").split()) == 4
        assert server.stop() == 0


def test_the_server_assumes_a_role(pod: Pod) -> None:
    """botocore's models for AWS STS are in the image."""
    role = {"TASKGATE_AWS__DEADLINE__ROLE_ARN": "arn:aws:iam::123456789012:role/Taskgate"}
    with pod.serving({**PLAINTEXT, **role}) as server:
        pod.ready(server)
        service = ("--service", "taskgate.deadline.v1.DeadlineService")
        end = time.monotonic() + 20
        while server.engine.run("exec", server.name, *HEALTH, *service, fails=None) != "SERVING\n":
            assert time.monotonic() < end, server.log()


def test_uploads_are_stored_in_tmp(pod: Pod) -> None:
    """It is the one folder that the chart lets it write to."""
    folder = ("--tmpfs", "/tmp:rw,size=16m,mode=1777")  # noqa: S108  # the container's own
    spooled = {**PLAINTEXT, "TASKGATE_SPOOL_MEMORY_BYTES": "1000"}
    with pod.serving(spooled, *folder) as server:
        pod.ready(server)
        with pod.caller("upload", ADDRESS) as reports:
            # So the emulator was called.
            assert "the emulator does not have" in next(reports)["says"], server.log()


def test_the_server_does_not_start_without_tls(pod: Pod) -> None:
    with pod.serving(LOCAL_AWS) as server:
        assert server.engine.run("wait", server.name).strip() == "1"
        assert server.engine.logs(server.name).splitlines() == [
            "taskgate: listen_host: 0.0.0.0 can be reached from other machines: set "
            "tls_certificate_file and tls_key_file, or, if plaintext is acceptable, "
            f'plaintext_to_everyone = "{PLAINTEXT_PHRASE}"'
        ]


def test_only_the_sandbox_image_has_the_emulator(pod: Pod) -> None:
    with pod.serving({}, command=("emulate",)) as server:
        assert server.engine.run("wait", server.name).strip() == "1"
        assert "taskgate[emulator]" in server.engine.logs(server.name)
    assert EMULATOR in pod.engine.logs(pod.aws.name)


def test_sigterm_stops_the_emulator(pod: Pod) -> None:
    with pod.emulating() as emulator:
        assert emulator.stop() == 0
