"""`make bench-caches`: what each cache on the path of a read saves, in microseconds of CPU.

A cache that saves less than a few microseconds is not worth its code.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable

from taskgate.v1 import task_service_pb2
from taskgate_server.auth.actions import action_of
from taskgate_server.auth.authentication import Caller
from taskgate_server.auth.decisions import Decisions
from taskgate_server.auth.guard import DEFAULT_POLICY, load_policy
from taskgate_server.auth.resources import compile_paths
from taskgate_server.calls import CallRequest, Rpc, parse_request
from taskgate_server.pipeline.authorization import KnownRequests
from taskgate_server.rpc.handlers import load_operations
from taskgate_server.services.deadline.spec import SPEC
from taskgate_server.services.deadline.tasks import Tasks
from taskgate_server.upstream.request import make_aws_request, plan_operation
from tests.support.calls import make_call
from tests.support.demo_names import RUNNING

NUMBER = 2000
METHOD = "taskgate.v1.TaskService/GetTask"


def micros(run: Callable[[], object]) -> float:
    """Return the time of one run, the fastest of five series."""
    return min(timeit.repeat(run, number=NUMBER, repeat=5)) / NUMBER * 1e6


def report(name: str, without: Callable[[], object], cached: Callable[[], object]) -> None:
    """Print what a cache saves."""
    before, after = micros(without), micros(cached)
    sys.stdout.write(f"{name:44} {before:7.1f} us without, {after:5.1f} us with the cache\n")


def requests() -> None:
    """Measure the caches of requests."""
    plan = plan_operation(SPEC, "GetTask")
    names = Tasks.names
    operation = load_operations(SPEC)["GetTask"]
    params = names.parse(RUNNING, "name")
    message = operation.request_class(
        farm_id=params["farmId"],
        queue_id=params["queueId"],
        job_id=params["jobId"],
        step_id=params["stepId"],
        task_id=params["taskId"],
    )
    data = message.SerializeToString()
    found = {data: plan, RUNNING: plan}

    def convert() -> object:
        parsed = parse_request(operation.request_class, data)
        return make_aws_request("GetTask", operation.to_params(parsed), plan)

    report("converted requests of AWS RPCs", convert, lambda: found.get(data))
    report(
        "requests by the names of tasks",
        lambda: make_aws_request("GetTask", names.parse(RUNNING, "name"), plan),
        lambda: found.get(RUNNING),
    )


def authorization() -> None:
    """Measure the caches of authentication and authorization."""
    policy = load_policy([DEFAULT_POLICY])
    decisions = Decisions(policy, accepts_tokens=False)
    caller, action = Caller("User", "alice", ("render",)), action_of(METHOD)
    kind = task_service_pb2.GetTaskRequest
    paths = compile_paths(METHOD, kind)
    data = kind(name=RUNNING).SerializeToString()
    [path] = paths(kind.FromString(data))
    report(
        "decisions of the policy",
        lambda: policy.value.allows(caller, action, path),
        lambda: decisions.decide(caller, action, path),
    )
    rpc = Rpc(method=METHOD, request_class=kind, response_class=kind, behaviour=lambda *_: None)
    call = make_call(rpc=rpc)._replace(principal=caller, request=CallRequest(data))
    known = KnownRequests(decisions)
    known.add(call._replace(resources=[path]))

    def authorize() -> object:
        return [decisions.decide(caller, action, each) for each in paths(kind.FromString(data))]

    report("requests that are known to be allowed", authorize, lambda: known.find(call))


def main() -> int:
    """Measure and print."""
    requests()
    authorization()
    return 0


if __name__ == "__main__":
    sys.exit(main())
