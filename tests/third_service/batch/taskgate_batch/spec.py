"""The facts about AWS Batch that botocore's model does not have."""

from __future__ import annotations

from typing import Final

from taskgate_server.services.spec import IdentifierTable, ServiceSpec

_EC2: Final = "an Amazon EC2 resource; the AWS role of the server decides which can be used"
_EFS: Final = "an Amazon EFS resource; the AWS role of the server decides which can be used"
_LABEL: Final = "a label that callers give to their jobs; AWS does not resolve it to a resource"

# Requests identify queues, environments and the like by name or ARN, and nothing by route.
IDENTIFIERS: Final = IdentifierTable(
    types={
        **dict.fromkeys(("jobQueue", "jobQueues", "jobQueueName"), "Queue"),
        **dict.fromkeys(("jobs", "jobId", "arrayJobId", "multiNodeJobId"), "Job"),
        **dict.fromkeys(("jobDefinition", "jobDefinitions", "jobDefinitionName"), "JobDefinition"),
        **dict.fromkeys(
            ("computeEnvironment", "computeEnvironments", "computeEnvironmentName"),
            "ComputeEnvironment",
        ),
        **dict.fromkeys(("consumableResource", "consumableResourceName"), "ConsumableResource"),
        **dict.fromkeys(
            (
                *("executionRoleArn", "infrastructureRoleArn", "jobRoleArn", "serviceRole"),
                "taskRoleArn",
            ),
            "Role",
        ),
    },
    not_resources={
        **dict.fromkeys(("imageId", "launchTemplateId", "securityGroupIds"), _EC2),
        **dict.fromkeys(("fileSystemId", "accessPointId"), _EFS),
        "shareIdentifier": _LABEL,
    },
)

_QUEUE: Final = "batch/queues/{jobQueue}"
_UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# A job and its array are identified by ids that AWS chooses, and a queue by its name:
# https://docs.aws.amazon.com/batch/latest/APIReference/API_CreateJobQueue.html
SPEC = ServiceSpec(
    name="batch",
    title="AWS Batch",
    package=__package__,
    contract="taskgate_batch.v1",
    grpc_service="BatchService",
    shared_reads=("Describe", "Get", "List"),
    task_names=(
        f"{_QUEUE}/jobs/{{jobId}}",
        f"{_QUEUE}/jobs/{{arrayJobId}}/childJobs/{{index}}",
    ),
    parent_names={"queues": _QUEUE, "jobs": f"{_QUEUE}/jobs/{{arrayJobId}}"},
    id_patterns={
        "jobQueue": r"[A-Za-z0-9][\w-]{0,127}",
        "jobId": _UUID,
        "arrayJobId": _UUID,
        "index": "0|[1-9][0-9]{0,4}",
    },
    # https://docs.aws.amazon.com/batch/latest/APIReference/CommonErrors.html
    errors={
        "ClientException": "ValidationException",
        "ServerException": "InternalServerException",
    },
    credential_probes=("DescribeJobQueues", "DescribeComputeEnvironments"),
    log_groups=("/aws/batch/job",),
    identifiers=IDENTIFIERS,
)
