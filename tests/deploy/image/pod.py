"""Containers that share one network and see no other, like those of a pod in Kubernetes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from tests.deploy.image.engine import AS_KUBERNETES_DOES, ROOT, Engine

EMULATOR = "http://127.0.0.1:4580"
CERTIFICATES = "/etc/taskgate/tls"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
LOCAL_AWS = {
    **CREDENTIALS,
    "AWS_REGION": "us-west-2",
    **{
        f"TASKGATE_AWS__{service}__{name}_URL": EMULATOR
        for service in ("DEADLINE", "OMICS")
        for name in ("ENDPOINT", "LOGS_ENDPOINT", "STS_ENDPOINT")
    },
}
MUTUAL_TLS = {
    "TASKGATE_TLS_CERTIFICATE_FILE": f"{CERTIFICATES}/tls.crt",
    "TASKGATE_TLS_KEY_FILE": f"{CERTIFICATES}/tls.key",
    "TASKGATE_TLS_CLIENT_CA_FILE": f"{CERTIFICATES}/ca.crt",
}
SETTINGS = {**LOCAL_AWS, **MUTUAL_TLS}
"""Of a server that other machines can reach, and whose callers have certificates."""
MEMORY = "256m"
CGROUPS = Path("/sys/fs/cgroup")
HEALTHCHECK = re.findall(
    r"^HEALTHCHECK .* CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
)
"""OCI images have no health check, so podman gets it as an argument. Its default uses systemd."""


@dataclass
class Container:
    """One that has been started."""

    engine: Engine
    name: str

    @property
    def pid(self) -> int:
        """Of its first process, as this machine numbers it."""
        return int(self.engine.inspect(self.name)["State"]["Pid"])

    @property
    def began(self) -> float:
        """When its first process was started, in seconds since 1970."""
        return datetime.fromisoformat(
            self.engine.inspect(self.name)["State"]["StartedAt"]
        ).timestamp()

    def cpu_seconds(self) -> float:
        """Return the CPU time of its processes so far, from cgroups of version 1 or 2."""
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            version_1 = CGROUPS / "cpuacct" / path.lstrip("/") / "cpuacct.usage"
            version_2 = CGROUPS / path.lstrip("/") / "cpu.stat"
            if "cpuacct" in controllers.split(",") and version_1.exists():
                return int(version_1.read_text()) / 1e9
            if not controllers and version_2.exists():
                usage = dict(each.split() for each in version_2.read_text().splitlines())
                return int(usage["usage_usec"]) / 1e6
        message = f"no CPU time of {self.name} under {CGROUPS}"
        raise AssertionError(message)

    def log(self) -> list[dict[str, Any]]:
        """The lines that it has written."""
        return [json.loads(line) for line in self.engine.logs(self.name).splitlines()]

    def exec(self, *command: str, fails: bool = False) -> str:
        """Runs a command in it."""
        return self.engine.run("exec", self.name, *command, fails=fails)

    def stop(self) -> int:
        """Stops it as Kubernetes does. Gives the exit status, 137 if it had to be killed."""
        self.engine.run("stop", "--time", "30", self.name, timeout=60)
        return int(self.engine.inspect(self.name)["State"]["ExitCode"])


class Pod:
    """A local AWS in a container, and whatever is put beside it.

    Args:
        engine: has the images.
        images: the server's, and that with the emulator.
        certificates: folder with `ca.crt`, `tls.crt` and `tls.key`.
    """

    def __init__(self, engine: Engine, images: tuple[str, str], certificates: Path) -> None:
        self.engine, self.certificates = engine, certificates
        self._image, self._sandbox = images
        self._numbers = count()
        self.aws = self._start(self._sandbox, ("--network", "none"), {}, ("emulate",))
        self._network = ("--network", f"container:{self.aws.name}")
        self._enter = ("nsenter", f"--net=/proc/{self.aws.pid}/ns/net")

    @contextmanager
    def serving(
        self, variables: Mapping[str, str], *options: str, command: tuple[str, ...] = ()
    ) -> Iterator[Container]:
        """A server, removed in the end."""
        mount = ("--volume", f"{self.certificates}:{CERTIFICATES}:ro")
        health = (f"--health-cmd={HEALTHCHECK[0]}", "--health-interval=disable")
        given = (*self._network, *mount, *health, *options)
        server = self._start(self._image, given, variables, command)
        try:
            yield server
        finally:
            self.engine.run("rm", "--force", "--time", "0", server.name)

    @contextmanager
    def emulating(self) -> Iterator[Container]:
        """Another local AWS, in a network of its own, once it answers; removed in the end."""
        aws = self._start(self._sandbox, ("--network", "none"), {}, ("emulate",))
        try:
            while EMULATOR not in self.engine.logs(aws.name):
                assert self.engine.inspect(aws.name)["State"]["Running"]
            yield aws
        finally:
            self.engine.run("rm", "--force", "--time", "0", aws.name)

    def _start(
        self,
        image: str,
        options: tuple[str, ...],
        variables: Mapping[str, str],
        command: tuple[str, ...],
    ) -> Container:
        name = f"c{next(self._numbers)}"
        environment = [f"--env={key}={value}" for key, value in variables.items()]
        limits = (*AS_KUBERNETES_DOES, "--memory", MEMORY)
        self.engine.run(
            *("run", "--detach", "--name", name, *limits, *options, *environment, image, *command)
        )
        return Container(self.engine, name)

    @contextmanager
    def caller(self, verb: str, given: object) -> Iterator[Iterator[dict[str, Any]]]:
        """Yield the reports of tests/deploy/image/caller.py, run in the pod's network."""
        with subprocess.Popen(
            [*self._enter, sys.executable, "-m", "tests.deploy.image.caller", verb, str(given)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield map(json.loads, process.stdout)
            finally:
                process.kill()

    def call(self, *command: str) -> str:
        """Runs a program of this machine in the pod's network; gives what it printed."""
        done = subprocess.run(
            [*self._enter, *command], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ready(self, server: Container, seconds: float = 20) -> float:
        """Waits until the server is ready. Gives how long it took from its start, in seconds."""
        with self.caller("ready", seconds) as reports:
            taken = seconds_to_ready(reports, server)
        assert self.engine.inspect(server.name)["State"]["Running"], server.log()
        return taken


def seconds_to_ready(reports: Iterator[dict[str, Any]], server: Container) -> float:
    """From the start of the server to what the caller `ready` reports."""
    moment = next((float(each["ready"]) for each in reports if "ready" in each), None)
    assert moment is not None, server.engine.logs(server.name)
    return moment - server.began
