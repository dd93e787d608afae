"""The `taskgate` command in a process of its own, with a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.running_server import running_server, settings_for

RUN = f"omics/runs/{seed.RUN_ID}"
ENDED_RUN = f"omics/runs/{seed.ENDED_RUN_ID}"
TASK = f"{RUN}/tasks/{seed.FAILED_RUN_TASK_ID}"
JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
MISSING = """
import sys
sys.modules[{!r}] = None
from taskgate_client.commands.main import main
sys.exit(main({!r}))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taskgate_client", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_get_shows_a_task(server_address: str) -> None:
    done = run("get", TASK, "--address", server_address)
    assert done.returncode == 0
    assert "FAILED" in done.stdout
    assert TASK in done.stdout


def test_get_as_json_prints_every_field(server_address: str) -> None:
    done = run("get", TASK, "--json", "--address", server_address)
    task = json.loads(done.stdout)
    assert task["name"] == TASK
    assert task["omics"]["imageDetails"]


def test_get_prints_errors_to_stderr(server_address: str) -> None:
    done = run("get", "omics/runs/1", "--address", server_address)
    assert done.returncode == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert not done.stdout


def test_list_prints_a_table_or_names(server_address: str) -> None:
    done = run("list", ENDED_RUN, "--address", server_address)
    assert (done.returncode, done.stderr) == (0, "1 task\n")
    assert "SUCCEEDED COMPLETED" in done.stdout
    names = run("list", JOB, "-q", "--filter", "state = FAILED", "--address", server_address)
    assert names.stdout == f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.FAILED_TASK_ID}\n"
    wrong = run("list", JOB, "--filter", "state = = FAILED", "--address", server_address)
    assert wrong.returncode == 1
    assert "filter" in wrong.stderr


def test_summary_counts_tasks(server_address: str) -> None:
    done = run("summary", JOB, "--json", "--address", server_address)
    assert json.loads(done.stdout)["counts"]["total"] == 18


def test_get_prints_tasks_of_both_services(server_address: str) -> None:
    deadline = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.FAILED_TASK_ID}"
    missing = f"{RUN}/tasks/404"
    done = run("get", TASK, deadline, missing, "--json", "--address", server_address)
    assert done.returncode == 5
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == [TASK, deadline]
    assert missing in done.stderr


def test_wait_exits_with_the_code_of_a_settled_task(server_address: str) -> None:
    codes = {
        f"{RUN}/tasks/{seed.CPU_TASK_ID}": 0,
        TASK: 3,
        f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.SUSPENDED_TASK_ID}": 4,
        f"{RUN}/tasks/404": 5,
    }
    for name, code in codes.items():
        assert run("wait", name, "--address", server_address).returncode == code, name


def test_wait_times_out(server_address: str) -> None:
    pending = f"{JOB}/steps/{seed.COMPOSITE_STEP_ID}/tasks/{seed.PENDING_TASK_ID}"
    done = run("wait", pending, "--timeout", "1.5s", "--address", server_address)
    assert done.returncode == 124
    assert "timed out while the task is PENDING" in done.stderr


def test_watch_until_settled(server_address: str) -> None:
    done = run("watch", ENDED_RUN, "--until-settled", "--address", server_address)
    assert done.returncode == 0
    first, last = done.stdout.splitlines()
    assert first.endswith("snapshot of 1 tasks: 1 SUCCEEDED")
    run_id = ENDED_RUN.rpartition("/")[2]
    assert last.endswith(f"all settled: 1 SUCCEEDED; omics run {run_id} SUCCEEDED (AWS: COMPLETED)")
    lines = run("watch", ENDED_RUN, "--until-settled", "--json", "--address", server_address)
    events = [json.loads(line)["event"] for line in lines.stdout.splitlines()]
    assert events == ["snapshot_begin", "snapshot_task", "snapshot_end", "end"]


def test_watch_resumes_after_a_restart(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url)
    command = [sys.executable, "-m", "taskgate_client", "watch", JOB, "--json", "--address"]
    with ExitStack() as stack, ExitStack() as first:
        address = first.enter_context(running_server(settings))
        process = stack.enter_context(
            subprocess.Popen([*command, str(address)], stdout=subprocess.PIPE, text=True)
        )
        assert process.stdout is not None
        events = (json.loads(line) for line in process.stdout)
        snapshot_end = next(each for each in events if each["event"] == "snapshot_end")
        assert snapshot_end["taskCount"] == 18
        first.close()
        assert next(each for each in events if each["event"] == "reconnecting")
        with running_server(settings.model_copy(update={"listen_port": address.port})):
            begin = next(each for each in events if each["event"] == "snapshot_begin")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
    assert begin["reason"] == "SNAPSHOT_REASON_TOKEN_FROM_ELSEWHERE"


def test_health_of_a_server_and_a_service(server_address: str) -> None:
    assert run("health", "--address", server_address).stdout == "SERVING\n"
    named = run("health", "--service", "taskgate.v1.TaskService", "--address", server_address)
    assert named.returncode == 0
    unknown = run("health", "--service", "unknown", "--address", server_address)
    assert unknown.returncode == 1
    assert "NOT_FOUND" in unknown.stderr


def test_health_without_a_server_fails() -> None:
    done = run("health", "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr


def test_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"taskgate {version('taskgate')}\n"


@pytest.mark.parametrize(
    ("command", "module", "extras"),
    [
        ("serve", "pydantic_settings", "server"),
        ("emulate", "moto", "emulator"),
        ("demo", "moto", "server,emulator"),
    ],
)
def test_a_command_without_its_extra_prints_what_to_install(
    command: str, module: str, extras: str
) -> None:
    code = MISSING.format(module, [command])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert f"pip install 'taskgate[{extras}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_of_the_base_install_has_only_the_commands_of_the_client() -> None:
    code = "import sys; sys.modules['pydantic_settings'] = sys.modules['moto'] = None\n"
    code += "from taskgate_client.commands.main import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")]
    assert {"get", "watch", "completion"} < set(listed)
    assert not {"serve", "emulate", "demo", "policy"} & set(listed)
    assert "pip install 'taskgate[server,emulator]'" in " ".join(done.stdout.split())
