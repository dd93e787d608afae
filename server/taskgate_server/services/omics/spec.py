"""The facts about AWS HealthOmics that botocore's model does not have."""

from __future__ import annotations

from typing import Final

from taskgate_server.services.spec import IdentifierTable, ServiceSpec

_ACCOUNT: Final = "an AWS account; AWS itself checks which accounts may be named"
_NETWORK: Final = "an Amazon EC2 resource; the AWS role of the server decides which can be used"
_LABEL: Final = "a label that callers give to their data; AWS does not resolve it to a resource"

IDENTIFIERS: Final = IdentifierTable(
    types={
        # The unified name of a task calls it a task, not a run task.
        "taskId": "Task",
        # Its shape is only "a number in an ARN".
        "cacheId": "RunCache",
        "roleArn": "Role",
        # Stores are identified by name.
        "StartAnnotationImportJob.destinationName": "AnnotationStore",
        "StartVariantImportJob.destinationName": "VariantStore",
        "ListAnnotationImportJobs.storeName": "AnnotationStore",
        "ListVariantImportJobs.storeName": "VariantStore",
        # Versions exist of workflows and of annotation stores; these are about stores.
        "StartAnnotationImportJob.versionName": "AnnotationStoreVersion",
        "CreateAnnotationStore.versionName": "AnnotationStoreVersion",
    },
    not_resources={
        "workflowOwnerId": _ACCOUNT,
        "workflowBucketOwnerId": _ACCOUNT,
        "outputBucketOwnerId": _ACCOUNT,
        "cacheBucketOwnerId": _ACCOUNT,
        "ecrAccountId": _ACCOUNT,
        "vpcOwnerAccountId": _ACCOUNT,
        "subnetIds": _NETWORK,
        "securityGroupIds": _NETWORK,
        "sampleId": _LABEL,
        "subjectId": _LABEL,
        "runSettingId": _LABEL,
        "fullRepositoryId": "a repository outside AWS; its connection has an ARN and counts",
    },
    filters={
        "ListRuns": ("runGroupId", "batchId"),
        "ListBatch": ("runGroupId",),
    },
)

# https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html and fixed-quotas.html
SPEC = ServiceSpec(
    name="omics",
    title="AWS HealthOmics",
    package=__package__,
    grpc_service="OmicsService",
    task_names=("omics/runs/{id}/tasks/{taskId}",),
    parent_names={"runs": "omics/runs/{id}"},
    log_groups=("/aws/omics/*",),
    identifiers=IDENTIFIERS,
    # `Range` is the HTTP header of that name: its values contain `=`, as in `bytes=0-499` (RFC 9110
    # section 14.1), which the pattern does not allow.
    ignored_patterns=("Range",),
    credential_probes=("ListRuns", "ListWorkflows"),
    request_rates={
        **dict.fromkeys(
            (
                *("GetRun", "GetRunTask", "ListRunTasks", "ListRuns", "CancelRun", "DeleteRun"),
                *(f"{verb}RunGroup" for verb in ("Create", "Get", "Update", "Delete")),
                *(f"{verb}RunCache" for verb in ("Create", "Get", "Update", "Delete")),
                *(f"{verb}Workflow" for verb in ("Get", "Update", "Delete")),
                *("ListRunGroups", "ListRunCaches", "ListWorkflows"),
                *("GetBatch", "CancelRunBatch", "ListRunsInBatch"),
            ),
            10.0,
        ),
        **dict.fromkeys(("CreateWorkflow", "TagResource", "ListTagsForResource"), 5.0),
        "StartRunBatch": 1.0,
        "StartRun": 0.1,
    },
)
