"""Build the C++ example from a contract bundle, and run its programs against a real server."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from conformance.runners import CLIENTS
from conformance.world import World

BUNDLE = CLIENTS.parent / "build/contract"
BUILD = CLIENTS.parent / "build/cpp"
SECONDS = 900


def main() -> int:
    """Return the exit status: 1 if a program failed or printed something unexpected."""
    protos = f"-DTASKGATE_PROTOS={BUNDLE / 'protos'}"
    for command in (
        ("cmake", "-S", str(CLIENTS / "cpp"), "-B", str(BUILD), protos),
        ("cmake", "--build", str(BUILD), "--parallel", "2"),
    ):
        subprocess.run(command, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)
    with World() as world:
        world.begin()
        failures = [*first_call(world), *watch_across_a_restart(world)]
    for failure in failures:
        sys.stdout.write(f"cpp: {failure}\n")
    return 1 if failures else 0


def first_call(world: World) -> list[str]:
    """Read a task, and an error with its details."""
    found = run("first_call", world, world.variables["RUNNING"])
    expected = f"{world.variables['RUNNING']} TASK_STATE_RUNNING\n"
    faults = [] if found.stdout == expected else [f"first_call: {found}"]
    bad = run("first_call", world, "nonsense")
    if bad.returncode != 1 or "name: " not in bad.stderr or "INVALID_REQUEST" not in bad.stderr:
        faults.append(f"first_call of nonsense: {bad}")
    return faults


def watch_across_a_restart(world: World) -> list[str]:
    """Kill the server during a watch; the watch reports what changed in the meantime."""
    world.aws_step("job", {"tasks": 2})
    job, tasks = world.variables["NEW_JOB"], [world.variables[f"NEW_TASK_{n}"] for n in (0, 1)]
    watch = subprocess.Popen(
        arguments("watch", world, job), stdout=subprocess.PIPE, text=True, bufsize=1
    )
    timeout = threading.Timer(60, watch.kill)
    timeout.start()
    assert watch.stdout is not None
    lines = [watch.stdout.readline().strip() for _ in tasks]
    world.server("kill")
    world.aws_step("move", {"task": 0, "to": "SUCCEEDED"})
    world.server("start")
    world.aws_step("move", {"task": 1, "to": "FAILED"})
    lines += [line.strip() for line in watch.stdout]
    status = watch.wait()
    timeout.cancel()
    initial = [f"{name} TASK_STATE_QUEUED" for name in tasks]
    final = {f"{tasks[0]} TASK_STATE_SUCCEEDED", f"{tasks[1]} TASK_STATE_FAILED"}
    passed = status == 0 and sorted(lines[:2]) == sorted(initial) and final <= set(lines[2:])
    return [] if passed else [f"watch: status {status}, {lines}"]


def arguments(program: str, world: World, name: str) -> list[str]:
    """Return the command line of a program."""
    config = str(BUNDLE / "service-config.json")
    return [str(BUILD / program), world.variables["SERVER"], config, name]


def run(program: str, world: World, name: str) -> subprocess.CompletedProcess[str]:
    """Run a program."""
    return subprocess.run(
        arguments(program, world, name), capture_output=True, text=True, timeout=60, check=False
    )


if __name__ == "__main__":
    Path(BUILD).mkdir(parents=True, exist_ok=True)
    sys.exit(main())
