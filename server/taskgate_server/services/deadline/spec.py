"""The facts about AWS Deadline Cloud that botocore's model does not have."""

from __future__ import annotations

from typing import Final

from taskgate_server.services.spec import IdentifierTable, ServiceSpec

_NETWORK: Final = "an Amazon EC2 resource; the AWS role of the server decides which can be used"

IDENTIFIERS: Final = IdentifierTable(
    types={
        # A report on the sessions of a farm, without a route of its own.
        "aggregationId": "Aggregation",
        # IAM roles that AWS assumes: the counterpart of iam:PassRole.
        "roleArn": "Role",
    },
    labelled={
        # `JOB:job-…:name` or `STEP:step-…:name`: an environment of a job or of a step.
        "environmentId": {"JOB": "Job", "STEP": "Step"},
    },
    not_resources={
        "identityStoreId": "the directory of the principal, which has a type of its own",
        "userIdentityId": "a sort key: whose jobs come first",
        "vpcId": _NETWORK,
        "subnetIds": _NETWORK,
        "securityGroupIds": _NETWORK,
    },
    filters={
        "SearchJobs": ("queueIds",),
        "SearchSteps": ("queueIds", "jobId"),
        "SearchTasks": ("queueIds", "jobId"),
        "SearchWorkers": ("fleetIds",),
        "ListSessionActions": ("sessionId", "taskId"),
    },
)

_QUEUE: Final = "deadline/farms/{farmId}/queues/{queueId}"
_JOB: Final = f"{_QUEUE}/jobs/{{jobId}}"
_STEP: Final = f"{_JOB}/steps/{{stepId}}"

# AWS publishes no request rate for Deadline Cloud:
# https://docs.aws.amazon.com/general/latest/gr/deadlinecloud.html
SPEC = ServiceSpec(
    name="deadline",
    title="AWS Deadline Cloud",
    package=__package__,
    grpc_service="DeadlineService",
    batches={
        f"Get{thing}": f"BatchGet{thing}"
        for thing in ("Job", "Session", "SessionAction", "Step", "Task", "Worker")
    },
    batch_writes={"UpdateTask": "BatchUpdateTask"},
    task_names=(f"{_STEP}/tasks/{{taskId}}",),
    parent_names={"queues": _QUEUE, "jobs": _JOB, "steps": _STEP},
    log_groups=("/aws/deadline/*",),
    identifiers=IDENTIFIERS,
    credential_probes=("ListFarms", "ListMonitors"),
)
