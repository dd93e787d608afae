"""The facts about AWS Batch that botocore's model does not have."""

from __future__ import annotations

from typing import Final

from taskgate_server.services.spec import IdentifierTable, ServiceSpec

IDENTIFIERS: Final = IdentifierTable(
    types={
        "jobQueue": "Queue",
        "jobQueues": "Queue",
        "jobs": "Job",
        "jobId": "Job",
        "arrayJobId": "Job",
        "multiNodeJobId": "Job",
        "jobDefinition": "JobDefinition",
        "jobDefinitions": "JobDefinition",
        "computeEnvironment": "ComputeEnvironment",
        "computeEnvironments": "ComputeEnvironment",
        "consumableResource": "ConsumableResource",
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
