"""The AWS services that Taskgate calls for its own purposes: logs and event queues."""

from __future__ import annotations

from taskgate_server.services.spec import ServiceSpec

# The logs of tasks. The quota is 10 calls per second in some regions and 25 or 30 in others, and
# cannot be raised:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LOGS = ServiceSpec(
    name="logs",
    title="Amazon CloudWatch Logs",
    request_rates={"GetLogEvents": 10.0},
    credential_probes=("DescribeLogGroups",),
)

# Queues with the events of all AWS services, see docs/events.md.
SQS = ServiceSpec(name="sqs", title="Amazon SQS", credential_probes=("ListQueues",))
