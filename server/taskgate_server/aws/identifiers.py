"""What AWS's models leave open about the identifiers in requests: one table for each service.

`guard.identifiers` derives the resource type of a member from its name, its shape and its
operation. Only members that these rules cannot decide are listed here. Keys are names of members,
or `Operation.member` where a name has more than one meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierTable:
    """The exceptions to the rules, for one AWS service."""

    types: Mapping[str, str] = field(default_factory=dict)
    """Member -> the type of the resource that it identifies."""

    labelled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Member whose values are `LABEL:id:rest` -> the type for each label."""

    not_resources: Mapping[str, str] = field(default_factory=dict)
    """Member that looks like an identifier -> why the policy does not consider it."""

    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Read -> members that restrict its rows to those of the resources they name.

    Such a resource replaces the resource of the route: the caller needs permission for the rows
    that it receives, not for all rows. Listed only where AWS documents the member as a filter and
    the resource is inside that of the route.
    """


_ACCOUNT: Final = "an AWS account; which accounts there are is AWS's to check"
_NETWORK: Final = "an Amazon EC2 resource; the server's AWS role decides which can be used"
_LABEL: Final = "a label that callers give to their data; AWS resolves it to no resource"

_DEADLINE: Final = IdentifierTable(
    types={
        # A report on sessions of a farm. It has an id, but no route of its own.
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

_OMICS: Final = IdentifierTable(
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

TABLES: Final[Mapping[str, IdentifierTable]] = {"deadline": _DEADLINE, "omics": _OMICS}
"""By botocore's name of the service."""
