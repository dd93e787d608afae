"""The settings of an AWS service, and of a further AWS account or region; parts of `config`."""

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
    """The settings of one AWS service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region | None = Field(
        None, description="AWS region. Unset: that of boto3 (AWS_REGION, the profile)."
    )
    endpoint_url: Endpoint | None = Field(
        None,
        description="Endpoint instead of AWS's own, such as the emulator's; used without AWS's"
        " host prefixes.",
    )
    endpoint_urls: dict[str, Endpoint] = Field(
        default_factory=dict,
        description="Endpoints by host prefix, such as `workflows` or `management`, for AWS"
        " PrivateLink without private DNS. Other prefixes go to `endpoint_url`, or to AWS's own.",
    )
    logs_endpoint_url: Endpoint | None = Field(
        None,
        description="Endpoint of Amazon CloudWatch Logs in this region, which has the logs of"
        " tasks.",
    )
    events_queue_url: QueueUrl | None = Field(
        None,
        description="Amazon SQS queue that receives the AWS service's events, see events.md. Both"
        " AWS services may use the same queue.",
    )
    role_arn: RoleArn | None = Field(
        None, description="Role to assume with the credentials that boto3 finds. Unset: none."
    )
    role_external_id: ExternalId | None = Field(
        None, description="External id that the role's trust policy requires."
    )
    sts_endpoint_url: Endpoint | None = Field(
        None, description="Endpoint of AWS STS, which assumes the role. Unset: AWS's own."
    )
    connect_timeout_seconds: Seconds = Field(
        3.0, description="Time limit for opening a connection."
    )
    read_timeout_seconds: Seconds = Field(
        30.0, description="Time limit for waiting for a response."
    )
    max_concurrent_calls: int = Field(32, ge=1, le=1000, description="In-flight calls.")
    max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Attempts of one call, including the first.",
    )
    quotas: Literal["published", "learned", "off"] = Field(
        "published",
        description="Rate limits of calls: `published` applies the rates that AWS publishes and"
        " learns from throttles, `learned` only learns, `off` applies no limits.",
    )
    circuit_breaker: bool = Field(
        default=True,
        description="Whether to send no calls for up to a second while nearly all calls fail.",
    )
    watch_calls_per_second: float = Field(
        6.0,
        gt=0,
        le=1000,
        description="Calls per second of all watches and waits together.",
    )
    request_rates: dict[str, float] = Field(
        default_factory=dict,
        description="Quotas that AWS has raised for you: calls per second by operation.",
    )


class TargetSettings(BaseModel):
    """The settings of a further AWS account or region."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region | None = Field(
        None, description="AWS region of all services, unless their own tables set it."
    )
    role_arn: RoleArn | None = Field(
        None, description="Role to assume for all services, unless their own tables set it."
    )
    role_external_id: ExternalId | None = Field(
        None, description="External id that this role's trust policy requires."
    )
    aws: dict[str, AwsSettings] = Field(
        default_factory=dict,
        description="A table for each AWS service, as at the top of the file.",
    )
