"""The AWS services that Taskgate calls for its own purposes: logs and event queues."""

from __future__ import annotations

from taskgate_server.services.spec import ServiceSpec

# What tasks write to their logs. AWS publishes 10 calls per second for some regions, 25 or 30 for
# the others, none to be raised:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LOGS = ServiceSpec(
    name="logs",
    title="Amazon CloudWatch Logs",
    request_rates={"GetLogEvents": 10.0},
    credential_probes=("DescribeLogGroups",),
)

# Where events of both services come from, if they are set up to: docs/events.md.
SQS = ServiceSpec(name="sqs", title="Amazon SQS", credential_probes=("ListQueues",))
