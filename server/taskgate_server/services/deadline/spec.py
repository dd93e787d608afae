"""The facts about AWS Deadline Cloud that botocore's model does not have."""

from __future__ import annotations

from taskgate_server.services.spec import ServiceSpec

# AWS publishes no request rate for Deadline Cloud:
# https://docs.aws.amazon.com/general/latest/gr/deadlinecloud.html
SPEC = ServiceSpec(
    name="deadline",
    title="AWS Deadline Cloud",
    grpc_service="DeadlineService",
    batches={
        f"Get{thing}": f"BatchGet{thing}"
        for thing in ("Job", "Session", "SessionAction", "Step", "Task", "Worker")
    },
    batch_writes={"UpdateTask": "BatchUpdateTask"},
    task_name="deadline/farms/{farmId}/queues/{queueId}/jobs/{jobId}/steps/{stepId}/tasks/{taskId}",
    task_parents=("queues", "jobs", "steps"),
    credential_probes=("ListFarms", "ListMonitors"),
)
