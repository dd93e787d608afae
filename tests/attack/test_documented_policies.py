"""The policies of the documentation, with what each permits and attempts to get around it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_service_pb2, task_update_pb2
from taskgate_server.auth.actions import USE_TARGET, action_of
from taskgate_server.auth.authentication import ANONYMOUS, Caller
from taskgate_server.auth.policy import Policy
from taskgate_server.auth.resources import TARGET, compile_paths
from taskgate_server.calls import DEFAULT_TARGET

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```cedar\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EVERYTHING = """
permit (principal, action, resource);
permit (principal, action in [Action::"delete", Action::"credentials"], resource);
"""

MODULES = {"deadline": deadline_pb2, "omics": omics_pb2}
SERVICES = {"deadline": "DeadlineService", "omics": "OmicsService"}
TASKS = {
    "GetTask": task_service_pb2,
    "RetryTask": task_update_pb2,
    "GetServerInfo": task_service_pb2,
}

FARM, QUEUE = "farm-00000000000000000000000000000001", "queue-00000000000000000000000000000001"
JOB = "job-0000000000000000000000000000000e"
IN_QUEUE: Mapping[str, Any] = {"farmId": FARM, "queueId": QUEUE}
TASK = f"deadline/farms/{FARM}/queues/{QUEUE}/jobs/job-1/steps/step-1/tasks/task-1"
EMBARGOED = TASK.replace("job-1", JOB)
RUNS, ADMINISTRATOR = (
    f"arn:aws:iam::111122223333:role/{name}" for name in ("runs", "administrator")
)
DEADLINE_ARN = "arn:aws:deadline:us-west-2:111122223333"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call of a principal: `deadline/GetJob` with fields by their JSON names."""

    caller: Caller
    action: str
    fields: Mapping[str, Any]
    target: str = DEFAULT_TARGET

    def is_allowed(self, policy: Policy) -> bool:
        if self.action == USE_TARGET.name:
            path = ((TARGET, self.target),)
            return policy.allows(self.caller, USE_TARGET, path, self.target)
        method, request = self._request()
        return all(
            policy.allows(self.caller, action_of(method), path, self.target)
            for path in compile_paths(method, type(request))(request)
        )

    def _request(self) -> tuple[str, Message]:
        service, _, name = self.action.partition("/")
        module = TASKS[name] if service == "tasks" else MODULES[service]
        package = "taskgate.v1" if service == "tasks" else f"taskgate.{service}.v1"
        request: Message = getattr(module, f"{name}Request")()
        json_format.ParseDict(dict(self.fields), request)
        return f"{package}.{SERVICES.get(service, 'TaskService')}/{name}", request


ALICE = Caller("User", "alice", ("render",))
CAROL = Caller("User", "carol", ("supervisors",))
DAVE = Caller("User", "dave", ("render", "contractors"))
ERIN = Caller("User", "erin", ("genomics",))
WORKER = Caller("Certificate", "spiffe://studio.example/worker")
SEQUENCER = Caller("Service", "system:serviceaccount:genomics:sequencer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """A block of the documentation, found by a part of its text."""

    part: str
    others: str = ""
    """Policies that the block is used with."""
    permitted: Sequence[Attempt]
    bypasses: Sequence[Attempt]


BLOCKS = (
    Documented(
        part='resource == Target::"lab"',
        others=EVERYTHING,
        permitted=[
            Attempt(ERIN, "targets/Use", {}, "lab"),
            Attempt(ERIN, "omics/GetRun", {"id": "7"}, "lab"),
            Attempt(ERIN, "omics/CancelRun", {"id": "7"}),
        ],
        bypasses=[
            Attempt(ALICE, "targets/Use", {}, "lab"),
            Attempt(ERIN, "targets/Use", {}, "other"),
            Attempt(ERIN, "omics/CancelRun", {"id": "7"}, "lab"),
            Attempt(ERIN, "tasks/RetryTask", {"name": TASK}, "lab"),
        ],
    ),
    Documented(
        part='Action::"tasks/RetryTask"]',
        permitted=[
            Attempt(ALICE, "tasks/RetryTask", {"name": TASK}),
            Attempt(ALICE, "deadline/GetJob", {**IN_QUEUE, "jobId": "job-1"}),
            Attempt(ALICE, "deadline/SearchTasks", {"farmId": FARM, "queueIds": [QUEUE]}),
        ],
        bypasses=[
            Attempt(ALICE, "tasks/RetryTask", {"name": TASK.replace(QUEUE, "queue-2")}),
            Attempt(ALICE, "deadline/SearchTasks", {"farmId": FARM}),
            Attempt(
                ALICE, "deadline/SearchTasks", {"farmId": FARM, "queueIds": [QUEUE, "queue-2"]}
            ),
            Attempt(
                ALICE, "deadline/BatchGetJob", {"identifiers": [IN_QUEUE, {"queueId": "queue-2"}]}
            ),
            Attempt(ALICE, "deadline/UpdateQueue", IN_QUEUE),
            Attempt(
                ALICE,
                "deadline/ListTagsForResource",
                {"resourceArn": f"{DEADLINE_ARN}:farm/{FARM}/queue/queue-2"},
            ),
        ],
    ),
    Documented(
        part="resource is Role",
        others=EVERYTHING,
        permitted=[
            Attempt(ERIN, "omics/StartRun", {"workflowId": "7", "roleArn": RUNS}),
            Attempt(CAROL, "deadline/UpdateQueue", {**IN_QUEUE, "roleArn": RUNS}),
        ],
        bypasses=[
            Attempt(ERIN, "omics/StartRun", {"workflowId": "7", "roleArn": ADMINISTRATOR}),
            Attempt(ERIN, "omics/StartRunBatch", {"defaultRunSetting": {"roleArn": ADMINISTRATOR}}),
            Attempt(CAROL, "deadline/UpdateQueue", {**IN_QUEUE, "roleArn": ADMINISTRATOR}),
        ],
    ),
    Documented(
        part='in Group::"contractors"',
        others=EVERYTHING,
        permitted=[
            Attempt(DAVE, "tasks/GetTask", {"name": TASK}),
            Attempt(ALICE, "tasks/GetTask", {"name": EMBARGOED}),
        ],
        bypasses=[
            Attempt(DAVE, "tasks/GetTask", {"name": EMBARGOED}),
            Attempt(DAVE, "deadline/CreateJob", {**IN_QUEUE, "sourceJobId": JOB}),
            Attempt(DAVE, "deadline/CopyJobTemplate", {**IN_QUEUE, "jobId": JOB}),
            Attempt(DAVE, "deadline/SearchTasks", {"farmId": FARM, "jobId": JOB}),
            Attempt(DAVE, "deadline/BatchUpdateTask", {"tasks": [{**IN_QUEUE, "jobId": JOB}]}),
            Attempt(
                DAVE,
                "deadline/ListTagsForResource",
                {"resourceArn": f"{DEADLINE_ARN}:farm/{FARM}/queue/{QUEUE}/job/{JOB}"},
            ),
        ],
    ),
)


def blocks() -> list[str]:
    return BLOCK.findall((DOCS / "security.md").read_text())


def test_all_documented_policies_are_tested() -> None:
    text = (DOCS / "security.md").read_text()
    assert len(blocks()) == len(BLOCKS)
    policies = re.compile(r"^(?:permit|forbid) \(", re.MULTILINE)
    assert sum(len(policies.findall(block)) for block in blocks()) == len(policies.findall(text))


@pytest.mark.parametrize("documented", BLOCKS, ids=lambda documented: documented.part)
def test_documented_policy_permits_and_denies(documented: Documented) -> None:
    [block] = [block for block in blocks() if documented.part in block]
    policy = Policy([("security.md", documented.others + block)])
    check(policy, documented.permitted, documented.bypasses)


def test_the_bypasses_of_a_forbid_succeed_without_it() -> None:
    """The control: it is the documented policy that denies them."""
    open_to_all = Policy([("test", EVERYTHING)])
    for documented in BLOCKS:
        if documented.others:
            attempts = [each for each in documented.bypasses if each.action != USE_TARGET.name]
            assert [each for each in attempts if not each.is_allowed(open_to_all)] == []


def check(policy: Policy, permitted: Sequence[Attempt], bypasses: Sequence[Attempt]) -> None:
    assert [each for each in permitted if not each.is_allowed(policy)] == []
    assert [each for each in bypasses if each.is_allowed(policy)] == []


def test_example_policy_permits_no_bypass() -> None:
    policy = Policy([("policy.cedar", (DOCS / "examples/policy.cedar").read_text())])
    worker = {"farmId": FARM, "fleetId": "fleet-1", "workerId": "worker-1", "queueId": QUEUE}
    run = {"workflowId": "1234567", "roleArn": RUNS}
    permitted = [
        Attempt(CAROL, "deadline/CreateJob", {**IN_QUEUE, "sourceJobId": "job-1"}),
        Attempt(CAROL, "deadline/DeleteQueue", IN_QUEUE),
        Attempt(ALICE, "tasks/RetryTask", {"name": TASK}),
        Attempt(WORKER, "deadline/AssumeQueueRoleForWorker", worker),
        Attempt(SEQUENCER, "omics/StartRun", run),
        Attempt(SEQUENCER, "omics/StartRun", {**run, "workflowVersionName": "2"}),
        Attempt(ANONYMOUS, "tasks/GetServerInfo", {}),
        Attempt(ERIN, "omics/GetRun", {"id": "7"}, "lab"),
    ]
    bypasses = [
        Attempt(CAROL, "deadline/DeleteQueue", {**IN_QUEUE, "farmId": "farm-2"}),
        Attempt(CAROL, "deadline/AssumeQueueRoleForUser", IN_QUEUE),
        Attempt(CAROL, "deadline/UntagResource", {"resourceArn": f"{DEADLINE_ARN}:farm/farm-2"}),
        Attempt(ALICE, "deadline/SearchTasks", {"farmId": FARM, "queueIds": [QUEUE, "queue-2"]}),
        Attempt(WORKER, "deadline/AssumeQueueRoleForWorker", {**worker, "farmId": "farm-2"}),
        Attempt(SEQUENCER, "omics/StartRun", {**run, "workflowId": "7654321"}),
        Attempt(SEQUENCER, "omics/StartRun", {**run, "roleArn": ADMINISTRATOR}),
        Attempt(SEQUENCER, "omics/StartRun", {**run, "runGroupId": "1"}),
        Attempt(SEQUENCER, "omics/StartRunBatch", {"defaultRunSetting": run}),
        Attempt(ANONYMOUS, "tasks/GetTask", {"name": TASK}),
        Attempt(DAVE, "tasks/GetTask", {"name": EMBARGOED}),
        Attempt(DAVE, "deadline/BatchGetJob", {"identifiers": [{**IN_QUEUE, "jobId": JOB}]}),
        Attempt(ERIN, "omics/GetRun", {"id": "7"}),
    ]
    check(policy, permitted, bypasses)
