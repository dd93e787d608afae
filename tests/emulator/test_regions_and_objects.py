"""Regions, services that are not emulated, and S3."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import FARM_ID, FLEET_ID, QUEUE_ID

QUEUE = {"farmId": FARM_ID, "queueId": QUEUE_ID}
BUCKET = "northlight-jobs"


def client(
    aws: Emulator, service: str, region: str, signature_version: str | None = None, **members: Any
) -> Any:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", **members}
    config = Config(
        inject_host_prefix=False,
        retries={"total_max_attempts": 1},
        signature_version=signature_version,
    )
    return boto3.client(
        service,  # type: ignore[call-overload]  # stubs want a literal
        endpoint_url=aws.endpoint_url,
        region_name=region,
        config=config,
        **keys,
    )


def test_each_region_has_resources_of_its_own(aws: Emulator) -> None:
    home, other = client(aws, "deadline", "us-west-2"), client(aws, "deadline", "eu-central-1")
    assert other.list_farms()["farms"] == []
    farm = other.create_farm(displayName="Europe")["farmId"]
    assert [row["farmId"] for row in other.list_farms()["farms"]] == [farm]
    assert [row["farmId"] for row in home.list_farms()["farms"]] == [FARM_ID]
    with pytest.raises(ClientError):
        home.get_farm(farmId=farm)
    groups = client(aws, "omics", "eu-central-1")
    arn = groups.create_run_group(name="g")["arn"]
    assert arn.startswith("arn:aws:omics:eu-central-1:")


def test_region_of_the_seed_can_be_set() -> None:
    with Emulator(clock=ManualClock(), region="eu-west-1") as aws:
        assert aws.environment["AWS_REGION"] == "eu-west-1"
        assert client(aws, "deadline", "us-west-2").list_farms()["farms"] == []
        assert len(client(aws, "deadline", "eu-west-1").list_farms()["farms"]) == 1
    with pytest.raises(ValueError, match="not the name of a region"):
        Emulator(region="nowhere")


def test_regions_are_restored_from_state_files(tmp_path: Path) -> None:
    for _ in range(2):
        with Emulator(clock=ManualClock(), seed="empty", state=tmp_path / "state") as aws:
            other = client(aws, "deadline", "eu-central-1")
            farms = other.list_farms()["farms"]
            if not farms:
                other.create_farm(displayName="Europe")
    assert [farm["displayName"] for farm in farms] == ["Europe"]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("ec2", "describe_instances"),
        ("dynamodb", "list_tables"),
        ("lambda", "list_functions"),
        ("iam", "list_users"),
    ],
)
def test_service_that_is_not_emulated_is_named(aws: Emulator, service: str, operation: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client(aws, service, "us-west-2"), operation)()
    error: Any = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert error["Error"]["Code"] == "NotImplemented"
    assert f"does not have the AWS service {service}" in error["Error"]["Message"]


def test_objects_are_written_and_read_with_the_credentials_of_a_role(
    aws: Emulator, deadline: Any
) -> None:
    stored, content = {"Bucket": BUCKET, "Key": "deadline/Data/a b.bin"}, b"x" * 6_000_000
    for role in (
        deadline.assume_queue_role_for_user(**QUEUE),
        deadline.assume_queue_role_for_read(**QUEUE),
        deadline.assume_fleet_role_for_read(farmId=FARM_ID, fleetId=FLEET_ID),
    ):
        given = role["credentials"]
        assert given["expiration"] > aws.edit(lambda account: account.now)
        s3 = client(
            aws,
            "s3",
            "us-west-2",
            aws_access_key_id=given["accessKeyId"],
            aws_secret_access_key=given["secretAccessKey"],
            aws_session_token=given["sessionToken"],
        )
        s3.put_object(**stored, Body=content)
        assert s3.get_object(**stored)["Body"].read() == content
    for version in ("s3", "s3v4"):
        signed = client(aws, "s3", "us-west-2", signature_version=version)
        url = signed.generate_presigned_url("get_object", Params=stored)
        with urllib.request.urlopen(url) as response:  # noqa: S310 the emulator's own address
            assert response.read() == content


def test_objects_of_an_earlier_emulator_are_gone() -> None:
    for _ in range(2):
        with Emulator(clock=ManualClock()) as aws:
            s3 = client(aws, "s3", "us-west-2")
            assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
            s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
            where = {"LocationConstraint": "us-west-2"}
            s3.create_bucket(Bucket="own", CreateBucketConfiguration=where)
