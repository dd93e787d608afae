"""The environment of cases: a local AWS, a server to be killed, secured ones, and the relay."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conformance import contracts
from conformance.relay import Relay, Rule
from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.control import AddedJob, AddedRun
from taskgate_emulator.deadline.tasks import JOB as JOB_TABLE
from taskgate_emulator.seeds import ids as seed
from tests.support.authority import LOOPBACK, Authority
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import running_server, settings_for

SECONDS = 20.0
JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
STEP = f"{JOB}/steps/{seed.RENDER_STEP_ID}"
ABSENT_ID = f"task-{'0' * 32}-0"
SETTINGS = {
    "AWS_REGION": "us-west-2",
    # Each call reaches AWS once, so that its faults are visible.
    "TASKGATE_DEFAULT_MAX_AGE_SECONDS": "0",
    "TASKGATE_DRAIN_SECONDS": "2",
    "TASKGATE_DRAIN_GRACE_SECONDS": "0",
}


class World:
    """The environment, and the steps that change it. Use it in a `with`."""

    CREDENTIALS: ClassVar = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    """For the local AWS, which accepts any credentials."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: subprocess.Popen[bytes] | None = None
        self._job: AddedJob | None = None
        self._run: AddedRun | None = None
        self.variables: dict[str, str] = {
            "FARM_ID": seed.FARM_ID,
            "JOB": JOB,
            "STEP": STEP,
            "RUN": f"omics/runs/{seed.RUN_ID}",
            "ENDED_RUN": f"omics/runs/{seed.ENDED_RUN_ID}",
            "RUNNING": f"{STEP}/tasks/{seed.RUNNING_TASK_ID}",
            "FAILED": f"{STEP}/tasks/{seed.FAILED_TASK_ID}",
            "CANCELED": f"{STEP}/tasks/{seed.CANCELED_TASK_ID}",
            "RUN_TASK": f"omics/runs/{seed.RUN_ID}/tasks/{seed.CPU_TASK_ID}",
            "FAILED_RUN_TASK": f"omics/runs/{seed.RUN_ID}/tasks/{seed.FAILED_RUN_TASK_ID}",
            "ABSENT": f"{STEP}/tasks/{ABSENT_ID}",
            "ABSENT_ID": ABSENT_ID,
        }
        """The values of `${NAME}` in cases."""

    def __enter__(self) -> World:
        os.environ |= self.CREDENTIALS
        with self._stack:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self.aws = self._stack.enter_context(
                Emulator(clock=ManualClock())
            )  # the demo tasks do not progress
            self.server_address = f"127.0.0.1:{_free_port()}"
            self._log = self._stack.enter_context((self._folder / "log").open("wb"))
            self._stack.callback(self.server, "kill")
            self.server("start")
            self._relay = self._stack.enter_context(Relay(self.server_address))
            self.variables["SERVER"] = self.server_address
            self.variables["RELAY"] = self._relay.address
            for name, contract in (("OLDER", contracts.last()), ("NEWER", contracts.newer())):
                relay = self._stack.enter_context(Relay(self.server_address, contract=contract))
                self.variables[name] = relay.address
            self.variables["NOWHERE"] = f"127.0.0.1:{_free_port()}"
            self._start_secured_servers()
            self._start_replicas()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Reset the environment for the next case."""
        self.aws.faults.clear()
        self._relay.reset()
        if self._server is None:
            self.server("start")
        self._requests_before = self.aws.request_count
        self.variables["UUID"] = str(uuid4())
        (self._folder / "token").write_text(self.issuer.sign("alice"))

    # The steps; each returns what the case may expect.

    def aws_step(self, do: str, with_: Mapping[str, Any]) -> Any:
        """Change or inspect the local AWS."""
        steps: Mapping[str, Callable[..., Any]] = {
            "fault": self._fault,
            "clear": self.aws.faults.clear,
            "job": self._add_job,
            "lifecycle": self._set_lifecycle,
            "run": self._add_run,
            "end_run": self._end_run,
            "move": self._move,
            "add_tasks": self._add_tasks,
            "requests": self._requests,
        }
        return steps[do](**with_)

    def relay_step(self, do: str, with_: Mapping[str, Any]) -> Any:
        """Add a rule to the relay, or return what it recorded."""
        if do == "rule":
            return self._relay.add(Rule(**with_))
        if do == "requests":
            return self._relay.requests(**with_)
        if do == "metadata":
            return [dict(metadata) for _, metadata, _ in self._relay.calls]
        if do == "deadlines":
            return [each for path, each in self._relay.deadlines if path.endswith(with_["method"])]
        if do == "cancelled":
            _until(lambda: self._relay.cancelled > 0)
            return self._relay.cancelled
        return len(self._relay.requests(**with_))

    def server(self, do: str) -> None:
        """Start the server at its address, stop or kill it; `restart` kills and starts it."""
        if do in ("kill", "restart", "stop") and self._server is not None:
            self._server.send_signal(signal.SIGTERM if do == "stop" else signal.SIGKILL)
            self._server.wait(SECONDS)
            self._server = None
        if do in ("start", "restart"):
            self._server = subprocess.Popen(
                [sys.executable, "-m", "taskgate_client", "serve"],
                env=self._environment(),
                stderr=self._log,
            )
            _until(lambda: _is_serving(self.server_address))

    def token(self, do: str) -> None:
        """Write a `bad`, `good` or `expired` token to the token file."""
        claims = {"exp": 1} if do == "expired" else {}
        text = "no-token" if do == "bad" else self.issuer.sign("alice", **claims)
        (self._folder / "token").write_text(text + "\n")

    def _environment(self) -> dict[str, str]:
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("TASKGATE_")
        }
        port = self.server_address.rpartition(":")[2]
        for service in ("DEADLINE", "OMICS"):
            environment[f"TASKGATE_AWS__{service}__ENDPOINT_URL"] = self.aws.endpoint_url
            environment[f"TASKGATE_AWS__{service}__QUOTAS"] = "off"
            environment[f"TASKGATE_AWS__{service}__MAX_ATTEMPTS"] = "1"
            environment[f"TASKGATE_AWS__{service}__CIRCUIT_BREAKER"] = "false"
        return environment | SETTINGS | {"TASKGATE_LISTEN_PORT": port}

    def _start_secured_servers(self) -> None:
        """Start a server with TLS and tokens, and one that requires client certificates."""
        authority, other = Authority(), Authority("other")
        self.issuer = Issuer()
        for name, pem in (("ca", authority.certificate), ("other_ca", other.certificate)):
            path = self._folder / f"{name}.pem"
            path.write_bytes(pem)
            self.variables[name.upper()] = str(path)
        for name in ("server", "client"):
            (self._folder / name).mkdir()
            issued = authority.issue(name, *(LOOPBACK if name == "server" else ()))
            paths = issued.write(self._folder / name)
            for kind, path in zip(("CERTIFICATE", "KEY"), paths, strict=True):
                self.variables[f"{name.upper()}_{kind}"] = str(path)
        tls = {
            "tls_certificate_file": self.variables["SERVER_CERTIFICATE"],
            "tls_key_file": self.variables["SERVER_KEY"],
        }
        keys = self._stack.enter_context(self.issuer.serving())
        tokens = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": keys}
        mtls = {"tls_client_ca_file": self.variables["CA"]}
        for name, more in (("TLS", tokens), ("MTLS", mtls)):
            settings = settings_for(self.aws.endpoint_url, **tls, **more)
            address = self._stack.enter_context(running_server(settings, io.StringIO()))
            self.variables[name] = str(address)
        self.variables["TOKEN"] = self.issuer.sign("alice")
        self.variables["TOKEN_FILE"] = str(self._folder / "token")

    def _start_replicas(self) -> None:
        """Start two servers that share nothing and cache responses, and a proxy that balances."""
        settings = settings_for(self.aws.endpoint_url, default_max_age_seconds=60)
        addresses = [
            str(self._stack.enter_context(running_server(settings, io.StringIO())))
            for _ in range(2)
        ]
        replicas = self._stack.enter_context(Relay(*addresses))
        self.variables["REPLICAS"] = replicas.address

    def _fault(self, **fault: Any) -> None:
        self.aws.faults.add(**fault)

    def _add_job(self, tasks: int) -> None:
        self._job = self.aws.jobs.add([tasks] if tasks else [])
        ids = self._job.ids
        self.variables["NEW_JOB"] = (
            f"deadline/farms/{ids['farmId']}/queues/{ids['queueId']}/jobs/{ids['jobId']}"
        )
        for number in range(tasks):
            task = self._job.task(number)
            self.variables[f"NEW_TASK_{number}"] = (
                f"{self.variables['NEW_JOB']}/steps/{task['stepId']}/tasks/{task['taskId']}"
            )

    def _move(self, task: int, to: str) -> None:
        assert self._job is not None
        self.aws.jobs.move(self._job.task(task), to)

    def _set_lifecycle(self, to: str, message: str = "") -> None:
        assert self._job is not None
        key = (self._job.farm, self._job.queue, self._job.job)
        members = {"lifecycleStatus": to, "lifecycleStatusMessage": message}
        self.aws.edit(lambda account: account.update(JOB_TABLE, key, **members))

    def _add_run(self, tasks: int, status: str = "RUNNING") -> None:
        self._run = self.aws.runs.add(tasks, status=status)
        self.variables["NEW_RUN"] = name = f"omics/runs/{self._run.run}"
        for number, task in enumerate(self._run.tasks):
            self.variables[f"NEW_RUN_TASK_{number}"] = f"{name}/tasks/{task}"

    def _end_run(self, to: str, reason: str = "", message: str = "") -> None:
        assert self._run is not None
        members = {"failureReason": reason, "statusMessage": message}
        known = {member: text for member, text in members.items() if text}
        self.aws.runs.move({"id": self._run.run}, to, **known)

    def _add_tasks(self, count: int) -> None:
        assert self._job is not None
        self.aws.jobs.add_tasks(self._job.step(), count)

    def _requests(self, operation: str) -> int:
        new = self.aws.request_count - self._requests_before
        return Counter(each.operation for each in self.aws.requests[-new:] if new)[operation]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        try:
            response = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("timed out waiting for the server")
        time.sleep(0.02)  # it is another process
