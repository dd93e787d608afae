"""Where requests of AWS Batch can name a resource; see tests/attack/identified.py.

From the API reference of AWS Batch: all of its resources are named in the body of the request, by
name, by ARN or, for jobs, by id.
"""

from __future__ import annotations

from typing import Final

BY_MEMBER: Final = {
    ("*", "jobQueue"): "Queue",
    ("*", "jobQueues"): "Queue",
    ("*", "jobQueueName"): "Queue",
    ("*", "jobId"): "Job",
    ("*", "jobs"): "Job",
    ("*", "arrayJobId"): "Job",
    ("*", "multiNodeJobId"): "Job",
    ("*", "jobDefinition"): "JobDefinition",
    ("*", "jobDefinitions"): "JobDefinition",
    ("*", "jobDefinitionName"): "JobDefinition",
    ("*", "computeEnvironment"): "ComputeEnvironment",
    ("*", "computeEnvironments"): "ComputeEnvironment",
    ("*", "computeEnvironmentName"): "ComputeEnvironment",
    ("*", "consumableResource"): "ConsumableResource",
    ("*", "consumableResourceName"): "ConsumableResource",
    ("*", "jobRoleArn"): "Role",
    ("*", "executionRoleArn"): "Role",
    ("*", "serviceRole"): "Role",
    ("*", "taskRoleArn"): "Role",
    ("*", "infrastructureRoleArn"): "Role",
    ("*", "accessPointArn"): "Resource",
    ("*", "ec2InstanceProfileArn"): "Resource",
    ("*", "eksClusterArn"): "Resource",
    ("*", "fileSystemArn"): "Resource",
    ("*", "quotaShareArn"): "Resource",
    ("*", "reservationGroupArn"): "Resource",
    ("*", "schedulingPolicyArn"): "Resource",
}

NOT_RESOURCES: Final = {
    "accessPointId",  # of Amazon EFS
    "fileSystemId",
    "imageId",  # of Amazon EC2
    "launchTemplateId",
    "securityGroupIds",
    "shareIdentifier",  # a label that callers choose
}
