"""The policy knows the resources in every request of a plug-in's AWS service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.third_service.conftest import ROOT

pytestmark = pytest.mark.long

# They take their cases from the installed services.
TESTS = (
    "tests/auth/test_resources.py",
    "tests/auth/test_policy.py",
    "tests/attack/test_policy_bypass.py",
)


INDEPENDENT = "deeply_nested or crash_of_the_parser"
"""What no service changes, and which starts a process for each policy: the usual run suffices."""


def test_policy_tests_pass_with_the_plugin(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-k", f"not ({INDEPENDENT})", *TESTS],
        cwd=ROOT,
        env=installed,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "[taskgate_batch.v1.BatchService/DescribeJobs] PASSED" in done.stdout
    for test in TESTS:
        assert f"{test}::" in done.stdout


def test_queues_of_two_services_are_different(installed: dict[str, str]) -> None:
    program = (
        "from taskgate_server.auth.actions import action_of\n"
        "from taskgate_server.auth.authentication import Caller\n"
        "from taskgate_server.auth.policy import Policy\n"
        "text = 'permit (principal, action, resource in Batch::Queue::\"q\");'\n"
        "policy, caller = Policy([('test', text)]), Caller('User', 'alice')\n"
        "read = action_of('taskgate.v1.TaskService/ListTasks')\n"
        "for service in ('batch', 'deadline'):\n"
        "    path = (('AwsService', service), ('Queue', 'q'))\n"
        "    print(policy.allows(caller, read, path))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=installed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
