"""One server for two AWS accounts, two emulators with equal ids."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_update_pb2, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server import app
from taskgate_server.config import AwsSettings, Settings, SettingsError, TargetSettings
from tests.support.polling import becomes_true
from tests.support.running_server import REGION, running_server, settings_for

SECONDS = 10.0
ROLE = "arn:aws:iam::222233334444:role/Taskgate"
STUDIO = (("taskgate-target", "studio"),)
JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
TASK = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.RUNNING_TASK_ID}"
POLICY = """
permit (principal, action in [Action::"read", Action::"write"], resource);
permit (principal, action == Action::"targets/Use", resource == Target::"studio");
forbid (principal, action in Action::"write", resource) when { context.target == "studio" };
"""

Target = tuple[tuple[str, str], ...]


@dataclass
class Two:
    """A server with the targets `default` and `studio`."""

    main: Emulator
    studio: Emulator
    channel: grpc.Channel

    def __post_init__(self) -> None:
        self.tasks: Any = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self.deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(self.channel)

    def native_state(self, target: Target = (), age: float = 60) -> str:
        """Return AWS's state of the demo's running task."""
        request = task_service_pb2.GetTaskRequest(name=TASK)
        request.max_age.FromTimedelta(timedelta(seconds=age))
        answer = self.tasks.GetTask(request, metadata=target, timeout=SECONDS)
        return str(answer.task.native_state)


@dataclass
class Sts:
    """A fake STS that supports only AssumeRole and records its requests."""

    requests: list[dict[str, str]] = field(default_factory=list)
    refuses: bool = False
    seconds: float = 3600.0
    """The lifetime of the credentials."""

    def answer(self, form: dict[str, str]) -> tuple[int, str]:
        self.requests.append(form)
        if self.refuses:
            error = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
            return 403, f"<ErrorResponse>{error}</ErrorResponse>"
        expires = datetime.now(UTC) + timedelta(seconds=self.seconds)
        given = (
            f"<AccessKeyId>ASIASTUDIO{len(self.requests)}</AccessKeyId>"
            "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
            f"<Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        )
        result = f"<AssumeRoleResult><Credentials>{given}</Credentials></AssumeRoleResult>"
        return 200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>"


@pytest.fixture
def sts() -> Iterator[tuple[Sts, str]]:
    service = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, text = service.answer(form)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def target_at(endpoint: str, **more: Any) -> TargetSettings:
    aws = settings_for(endpoint).aws["deadline"].model_copy(update=more)
    return TargetSettings(aws={"deadline": aws, "omics": aws})


@pytest.fixture
def two() -> Iterator[Two]:
    with (
        Emulator() as main,
        Emulator() as studio,
        running_server(
            settings_for(main.endpoint_url, targets={"studio": target_at(studio.endpoint_url)})
        ) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield Two(main, studio, channel)


def server_info(two: Two, target: Target = ()) -> task_service_pb2.GetServerInfoResponse:
    request = task_service_pb2.GetServerInfoRequest()
    response = two.tasks.GetServerInfo(request, metadata=target, timeout=SECONDS)
    assert isinstance(response, task_service_pb2.GetServerInfoResponse)
    return response


def error_of(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


def test_equal_names_in_two_targets_share_nothing(two: Two) -> None:
    ids = {
        "farmId": seed.FARM_ID,
        "queueId": seed.QUEUE_ID,
        "jobId": seed.JOB_ID,
        "stepId": seed.RENDER_STEP_ID,
        "taskId": seed.RUNNING_TASK_ID,
    }
    two.studio.jobs.move(ids, "FAILED")
    assert [two.native_state(), two.native_state(STUDIO)] == ["RUNNING", "FAILED"]
    calls = two.main.request_count, two.studio.request_count
    assert [two.native_state(), two.native_state(STUDIO)] == [
        "RUNNING",
        "FAILED",
    ]  # from two caches
    assert (two.main.request_count, two.studio.request_count) == calls
    assert two.native_state((("taskgate-target", "default"),)) == "RUNNING"


def test_write_affects_only_its_target(two: Two) -> None:
    assert [two.native_state(), two.native_state(STUDIO)] == ["RUNNING", "RUNNING"]
    calls = two.main.request_count
    request = task_update_pb2.CancelTaskRequest(name=TASK)
    two.tasks.CancelTask(request, metadata=STUDIO, timeout=SECONDS)
    assert two.native_state(STUDIO) == "INTERRUPTING"
    assert two.native_state() == "RUNNING"
    assert two.main.request_count == calls


def test_watch_and_resume_token_belong_to_one_target(two: Two) -> None:
    ids = {"farmId": seed.FARM_ID, "queueId": seed.QUEUE_ID, "jobId": seed.JOB_ID}
    two.studio.jobs.remove({**ids, "stepId": seed.RENDER_STEP_ID, "taskId": seed.RUNNING_TASK_ID})
    request = task_watch_pb2.WatchTasksRequest(parent=JOB)
    counts, tokens = [], []
    for target in ((), STUDIO):
        events = two.tasks.WatchTasks(request, metadata=target, timeout=SECONDS)
        for event in events:
            if event.HasField("snapshot_end"):
                counts.append(event.snapshot_end.task_count)
                tokens.append(event.resume_token)
                break
        events.cancel()
    assert counts[0] == counts[1] + 1
    resumed = task_watch_pb2.WatchTasksRequest(parent=JOB, resume_token=tokens[1])
    error = error_of(lambda: next(two.tasks.WatchTasks(resumed, timeout=SECONDS)))
    assert "target must be the same" in str(error)


def test_page_token_belongs_to_one_target(two: Two) -> None:
    request = task_service_pb2.ListTasksRequest(parent=JOB, page_size=2)
    first = two.tasks.ListTasks(request, metadata=STUDIO, timeout=SECONDS)
    request.page_token = first.next_page_token
    assert len(two.tasks.ListTasks(request, metadata=STUDIO, timeout=SECONDS).tasks) == 2
    error = error_of(lambda: two.tasks.ListTasks(request, timeout=SECONDS))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_failing_target_does_not_affect_the_other(two: Two) -> None:
    two.studio.faults.add(kind="throttle", service="deadline", operation="*")
    error = error_of(lambda: two.native_state(STUDIO, age=0))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert two.native_state(age=0) == "RUNNING"


def test_unknown_target_error_lists_the_targets(two: Two) -> None:
    error = error_of(lambda: two.native_state((("taskgate-target", "stduio"),)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "use one of default, studio" in str(error.details())


def test_aws_operations_and_server_info_use_the_target(two: Two) -> None:
    two.studio.edit(
        lambda account: account.update("deadline.Farm", (seed.FARM_ID,), displayName="B")
    )
    request = deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID)
    names = [
        two.deadline.GetFarm(request, metadata=target, timeout=SECONDS).display_name
        for target in ((), STUDIO)
    ]
    assert names == ["Northlight Pictures", "B"]

    def info() -> task_service_pb2.GetServerInfoResponse:
        return server_info(two, STUDIO)

    def targets() -> list[tuple[str, list[tuple[str, str, bool]]]]:
        return [
            (each.name, [(one.name, one.region, one.ready) for one in each.services])
            for each in info().targets
        ]

    services = [("deadline", REGION, True), ("omics", REGION, True)]
    expected = [("default", services), ("studio", services)]
    # A server that has just started has not yet checked whether AWS can be reached.
    assert becomes_true(lambda: targets() == expected), targets()
    # Each target has a quota of its own: only this call was sent to it.
    usage = {
        each.name: [quota.operation for quota in each.quota_usage] for each in info().aws_services
    }
    assert "GetFarm" in usage["deadline"]
    assert "GetTask" not in usage["deadline"]


def test_policy_decides_who_may_use_a_target(two: Two, tmp_path: Path) -> None:
    policy = tmp_path / "policy.cedar"
    policy.write_text(POLICY)
    targets = {name: target_at(two.studio.endpoint_url) for name in ("studio", "lab")}
    settings = settings_for(two.main.endpoint_url, targets=targets, policy_files=[policy])
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        guarded = Two(two.main, two.studio, channel)
        assert [guarded.native_state(), guarded.native_state(STUDIO)] == ["RUNNING", "RUNNING"]
        denied = [
            error_of(lambda name=name: guarded.native_state((("taskgate-target", name),)))  # type: ignore[misc]  # a default is no argument here
            for name in ("lab", "none")
        ]
        denials = [(error.code(), str(error.details()).replace("none", "lab")) for error in denied]
        assert denials[0] == denials[1]  # whether the target exists is not revealed
        assert denials[0][0] is grpc.StatusCode.PERMISSION_DENIED
        cancel = task_update_pb2.CancelTaskRequest(name=TASK)
        error = error_of(lambda: guarded.tasks.CancelTask(cancel, metadata=STUDIO, timeout=SECONDS))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        guarded.tasks.CancelTask(cancel, timeout=SECONDS)
        # Nor is it here: the server has the target `lab`, which the caller may not use.
        assert [each.name for each in server_info(guarded).targets] == ["default", "studio"]


def test_role_of_a_target_is_assumed(two: Two, sts: tuple[Sts, str]) -> None:
    service, url = sts
    # Region and role are set once for both services.
    aws = AwsSettings(endpoint_url=two.studio.endpoint_url, sts_endpoint_url=url)
    studio = TargetSettings(
        region=REGION,
        role_arn=ROLE,
        role_external_id="studio-7",
        aws={"deadline": aws, "omics": aws},
    )
    settings = settings_for(two.main.endpoint_url, targets={"studio": studio})
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        assert Two(two.main, two.studio, channel).native_state(STUDIO) == "RUNNING"
        assert Two(two.main, two.studio, channel).native_state() == "RUNNING"
    assert {each["RoleArn"] for each in service.requests} == {ROLE}
    assert {each["ExternalId"] for each in service.requests} == {"studio-7"}
    signed = [
        request.headers["Authorization"]
        for aws in (two.studio, two.main)
        for request in aws.requests[-1:]
    ]
    assert ["ASIASTUDIO" in each for each in signed] == [True, False]


def test_refused_role_affects_only_its_target(two: Two, sts: tuple[Sts, str]) -> None:
    service, url = sts
    service.refuses = True
    studio = target_at(two.studio.endpoint_url, sts_endpoint_url=url, role_arn=ROLE)
    settings = settings_for(two.main.endpoint_url, targets={"studio": studio})
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        server = Two(two.main, two.studio, channel)
        error = error_of(lambda: server.native_state(STUDIO))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "no AWS credentials" in str(error.details())
        assert server.native_state() == "RUNNING"


def test_role_is_assumed_again_before_it_expires(two: Two, sts: tuple[Sts, str]) -> None:
    service, url = sts
    service.seconds = 60  # botocore renews what is good for less than 10 minutes
    studio = target_at(two.studio.endpoint_url, sts_endpoint_url=url, role_arn=ROLE)
    settings = settings_for(two.main.endpoint_url, targets={"studio": studio})
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        server, keys = Two(two.main, two.studio, channel), []
        for _ in range(2):
            assert server.native_state(STUDIO, age=0) == "RUNNING"
            keys.append(two.studio.requests[-1].headers["Authorization"].partition("/")[0])
        assert keys[0] != keys[1]
        service.refuses = True
        assert "no AWS credentials" in str(
            error_of(lambda: server.native_state(STUDIO, age=0)).details()
        )
        assert server.native_state(age=0) == "RUNNING"


@pytest.mark.parametrize(
    ("targets", "fault"),
    [
        ({"default": TargetSettings()}, "targets.default: aws describes that one"),
        (
            {"a": TargetSettings(aws={"omcis": AwsSettings()})},
            "targets.a.aws.omcis: unknown AWS service",
        ),
    ],
)
async def test_invalid_target_prevents_the_start(
    targets: dict[str, TargetSettings], fault: str
) -> None:
    with pytest.raises(SettingsError, match=fault):
        app.build(Settings(listen_port=0, targets=targets))


def test_targets_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_TARGETS__STUDIO_B__ROLE_ARN", ROLE)
    monkeypatch.setenv("TASKGATE_TARGETS__STUDIO_B__AWS__OMICS__REGION", "us-east-1")
    studio = Settings().targets["studio_b"]
    assert (studio.role_arn, studio.aws["omics"].region) == (ROLE, "us-east-1")
    with pytest.raises(ValueError, match="role_arn"):
        TargetSettings(role_arn="Taskgate")
