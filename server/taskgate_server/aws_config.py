"""The settings of one AWS service, and of another AWS account or region; parts of `config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Seconds = Annotated[float, Field(gt=0, le=3600)]
# The region becomes part of a host name: https://docs.aws.amazon.com/general/latest/gr/rande.html
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,}(-[a-z]+)+-\d+$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+/?$")]
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
QueueUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+/[^?#]*[^/?#]$")]
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html: RoleArn, ExternalId
RoleArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[!-~]+$", max_length=2048),
]
ExternalId = Annotated[
    str, StringConstraints(pattern=r"^[\w+=,.@:\/-]+$", min_length=2, max_length=1224)
]


class AwsSettings(BaseModel):
    """How one AWS service is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region | None = Field(
        None, description="AWS region. Unset: as boto3 finds it (AWS_REGION, the profile)."
    )
    endpoint_url: Endpoint | None = Field(
        None,
        description="Another endpoint than AWS's own, such as the emulator's. AWS's host prefixes"
        " are then left out.",
    )
    endpoint_urls: dict[str, Endpoint] = Field(
        default_factory=dict,
        description="Endpoints by host prefix, such as `workflows` or `management`, for AWS"
        " PrivateLink without private DNS. Other prefixes go to `endpoint_url`, or to AWS's own.",
    )
    logs_endpoint_url: Endpoint | None = Field(
        None,
        description="The same for Amazon CloudWatch Logs in this region, which has tasks' logs.",
    )
    events_queue_url: QueueUrl | None = Field(
        None,
        description="An Amazon SQS queue that gets the AWS service's events, see events.md. Both"
        " AWS services may have the same one.",
    )
    role_arn: RoleArn | None = Field(
        None, description="Role to assume with the credentials that boto3 finds. Unset: none."
    )
    role_external_id: ExternalId | None = Field(
        None, description="External id that the role's trust policy asks for."
    )
    sts_endpoint_url: Endpoint | None = Field(
        None, description="Another endpoint than AWS's own for AWS STS, which assumes the role."
    )
    connect_timeout_seconds: Seconds = Field(3.0, description="Limit for making a connection.")
    read_timeout_seconds: Seconds = Field(30.0, description="Limit for waiting for an answer.")
    max_concurrent_calls: int = Field(
        32, ge=1, le=1000, description="Calls in flight at once; each has a thread."
    )
    max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Tries of one call, the first one included.",
    )
    quotas: Literal["published", "learned", "off"] = Field(
        "published",
        description="What paces calls: `published` keeps to the rates that AWS publishes and learns"
        " from throttles, `learned` does the latter only, `off` neither.",
    )
    circuit_breaker: bool = Field(
        default=True,
        description="Whether to stop asking for up to a second while nearly all calls fail.",
    )
    watch_calls_per_second: float = Field(
        6.0,
        gt=0,
        le=1000,
        description="Calls per second that all watches and waits together may make.",
    )
    request_rates: dict[str, float] = Field(
        default_factory=dict,
        description="Other quotas, calls per second by operation, where AWS has raised yours.",
    )


class TargetSettings(BaseModel):
    """Another AWS account or region than the one that `aws` is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region | None = Field(
        None, description="AWS region of both services, where their own tables name none."
    )
    role_arn: RoleArn | None = Field(
        None, description="Role to assume for both services, where their own tables name none."
    )
    role_external_id: ExternalId | None = Field(
        None, description="External id that this role's trust policy asks for."
    )
    aws: dict[str, AwsSettings] = Field(
        default_factory=dict,
        description="A table for each AWS service, as at the top of the file.",
    )
