"""Where requests of AWS operations can name a resource, found without the server's own rules.

Deadline Cloud's ids have a prefix in their pattern (`job-[0-9a-f]{32}`), HealthOmics' ids have a
shape of their own (`WorkflowId`). What neither decides is listed by operation and member.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from taskgate_server.aws import model
from tests.support import batch_identifiers as batch

DEADLINE_PREFIXES = {
    "budget": "Budget",
    "farm": "Farm",
    "fleet": "Fleet",
    "job": "Job",
    "le": "LicenseEndpoint",
    "limit": "Limit",
    "monitor": "Monitor",
    "queue": "Queue",
    "queueenv": "QueueEnvironment",
    "session": "Session",
    "sessionaction": "SessionAction",
    "sp": "StorageProfile",
    "step": "Step",
    "task": "Task",
    "volume": "Volume",
    "worker": "Worker",
}

SHAPES = {
    "deadline": {
        "AggregationId": "Aggregation",
        "IamRoleArn": "Role",
        "IdentityCenterInstanceArn": "Resource",
        "IdentityCenterPrincipalId": "Principal",
        "KmsKeyArn": "Resource",
        "MeteredProductId": "Product",
        "VpcResourceConfigurationArn": "Resource",
        "WindowsUserPasswordArnString": "Resource",
    },
    "omics": {
        "ActivationJobId": "ReadSetActivationJob",
        "BatchId": "Batch",
        "ConfigurationName": "Configuration",
        "ConnectionArn": "Resource",
        "ExportJobId": "ReadSetExportJob",
        "NumericIdInArn": "RunCache",
        "ReadSetId": "ReadSet",
        "ReferenceId": "Reference",
        "ReferenceStoreId": "ReferenceStore",
        "RoleArn": "Role",
        "RunCacheId": "RunCache",
        "RunGroupId": "RunGroup",
        "RunId": "Run",
        "RunRoleArn": "Role",
        "S3AccessPointArn": "S3AccessPoint",
        "SecretArn": "Resource",
        "SequenceStoreId": "SequenceStore",
        "SseConfigKeyArnString": "Resource",
        "TaskId": "Task",
        "UploadId": "Upload",
        "WorkflowId": "Workflow",
        "WorkflowVersionName": "WorkflowVersion",
    },
}

ARNS = {
    "deadline": {
        "Farm": "farm/{}",
        "Fleet": "farm/f/fleet/{}",
        "Worker": "farm/f/fleet/l/worker/{}",
        "Queue": "farm/f/queue/{}",
        "Job": "farm/f/queue/q/job/{}",
        "Budget": "farm/f/budget/{}",
        "LicenseEndpoint": "license-endpoint/{}",
        "Product": "license-endpoint/e/metered-product/{}",
        "Monitor": "monitor/{}",
        "Resource": "",
    },
    "omics": {
        "AnnotationStore": "annotationStore/{}",
        "AnnotationStoreVersion": "annotationStore/a/version/{}",
        "ReadSet": "sequenceStore/s/readSet/{}",
        "Reference": "referenceStore/s/reference/{}",
        "ReferenceStore": "referenceStore/{}",
        "Run": "run/{}",
        "RunCache": "runCache/{}",
        "RunGroup": "runGroup/{}",
        "SequenceStore": "sequenceStore/{}",
        "Task": "task/{}",
        "VariantStore": "variantStore/{}",
        "Workflow": "workflow/{}",
        "WorkflowVersion": "workflow/w/version/{}",
        "Batch": "runBatch/{}",
        "Configuration": "configuration/{}",
        "Resource": "",
    },
}
"""Types, and what the last part of their ARNs is:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_deadline.html and
list_healthomics.html. A `Resource` is any other ARN."""

ARN_SHAPES = {
    "deadline": (),
    "omics": ("TagArn", "ReferenceArn", "ReferenceArnFilter"),
}
ARN_MEMBERS = ("resourceArn", "resourceArns")

BY_MEMBER = {
    # Shapes that are no more than a text.
    "omics": {
        ("*", "shareId"): "Share",
        ("*AnnotationImportJob", "jobId"): "AnnotationImportJob",
        ("*VariantImportJob", "jobId"): "VariantImportJob",
        ("ListAnnotationImportJobs", "ids"): "AnnotationImportJob",
        ("ListVariantImportJobs", "ids"): "VariantImportJob",
        ("ListAnnotationStores", "ids"): "AnnotationStore",
        ("ListVariantStores", "ids"): "VariantStore",
        ("ListAnnotationImportJobs", "storeName"): "AnnotationStore",
        ("ListVariantImportJobs", "storeName"): "VariantStore",
        ("StartAnnotationImportJob", "destinationName"): "AnnotationStore",
        ("StartVariantImportJob", "destinationName"): "VariantStore",
        ("*VariantStore", "name"): "VariantStore",
        ("*AnnotationStore", "name"): "AnnotationStore",
        ("*AnnotationStoreVersion*", "name"): "AnnotationStore",
        ("*Annotation*", "versionName"): "AnnotationStoreVersion",
        ("*Annotation*", "versions"): "AnnotationStoreVersion",
        ("*ReadSetImportJob", "id"): "ReadSetImportJob",
        ("*ReferenceImportJob", "id"): "ReferenceImportJob",
        ("*ImportJob", "roleArn"): "Role",
        ("ListRunsInBatch", "runId"): "Run",
    },
    "deadline": {},
    "batch": batch.BY_MEMBER,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A place in requests of an operation, with a value for each type that it can name."""

    operation: str
    path: tuple[str, ...]
    """AWS members; `[]` for an item of a list, `{key}` for a key of a map."""
    values: tuple[tuple[str, str], ...]
    """Type, and the value of the member with `{}` for the id."""

    def __str__(self) -> str:
        return f"{self.operation} {'.'.join(self.path)}"


@cache
def named_places(service: str) -> tuple[Named, ...]:
    """Every place of every operation where a request can name a resource."""
    return tuple(
        Named(name, path, tuple(values.items()))
        for name, path, shape in texts(service)
        if (values := dict(_values(service, name, path, shape)))
    )


def texts(service: str) -> Iterator[tuple[str, tuple[str, ...], model.Shape]]:
    """Every text of every request: operation, path, shape."""
    loaded = model.load_service(service)
    for name in sorted(loaded.operation_names):
        shape = loaded.operation_model(name).input_shape
        waiting: list[tuple[tuple[str, ...], model.Shape, int]] = [((), shape, 0)] if shape else []
        while waiting:
            path, each, depth = waiting.pop()
            match each:
                case model.StructureShape() if depth < 12:
                    waiting += [((*path, m), s, depth + 1) for m, s in each.members.items()]
                case model.ListShape():
                    waiting.append(((*path, "[]"), each.member, depth + 1))
                case model.MapShape():
                    waiting.append(((*path, "{key}"), each.key, depth + 1))
                    waiting.append(((*path, "{}"), each.value, depth + 1))
                case model.StringShape() if not each.enum:
                    yield name, path, each


def _values(
    service: str, operation: str, path: tuple[str, ...], shape: model.Shape
) -> Iterator[tuple[str, str]]:
    """Each type that a text can name, and the text with `{}` for the id."""
    member = next(part for part in reversed(path) if part[0] not in "[{")
    if member in ARN_MEMBERS or shape.name in ARN_SHAPES.get(service, ()):
        for kind, form in ARNS.get(service, {"Resource": ""}).items():
            arn = f"arn:aws:{service}:us-west-2:111122223333:{form}"
            yield kind, arn if form else "arn:aws:example:us-west-2:111122223333:thing/{}"
    elif shape.name == "EnvironmentId":
        yield "Step", "STEP:{}:blender"
        yield "Job", "JOB:{}:blender"
    else:
        kind = (
            _type_of_member(service, operation, member)
            or SHAPES.get(service, {}).get(shape.name)
            or _type_of_prefix(str(shape.metadata.get("pattern", "")))
        )
        if kind:
            yield kind, "arn:aws:example:::{}" if kind == "Resource" else "{}"


def _type_of_member(service: str, operation: str, member: str) -> str:
    return next(
        (
            kind
            for (where, called), kind in BY_MEMBER[service].items()
            if called == member and re.fullmatch(where.replace("*", ".*"), operation)
        ),
        "",
    )


def _type_of_prefix(pattern: str) -> str:
    """The type of Deadline Cloud's `job-[0-9a-f]{32}`."""
    prefix = re.match(r"([a-z]+)-\[0-9a-f\]\{32\}", pattern)
    return DEADLINE_PREFIXES.get(prefix[1], "") if prefix else ""
