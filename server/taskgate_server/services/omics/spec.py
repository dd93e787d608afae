"""The facts about AWS HealthOmics that botocore's model does not have."""

from __future__ import annotations

from taskgate_server.services.spec import ServiceSpec

# https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html and fixed-quotas.html
SPEC = ServiceSpec(
    name="omics",
    title="AWS HealthOmics",
    grpc_service="OmicsService",
    task_name="omics/runs/{id}/tasks/{taskId}",
    task_parents=("runs",),
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
