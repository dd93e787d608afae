"""botocore's data files as sessions of botocore read them here."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import BOTOCORE_ROOT
from botocore.exceptions import EndpointVariantError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from taskgate_server.aws import model
from taskgate_server.aws.model_files import LOADER, share_files
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.supporting import LOGS, SQS

REGIONS = ("us-east-1", "us-west-2", "cn-north-1", "us-gov-west-1", "eu-isoe-west-1", "mars-1")
VARIANTS = ((False, False), (True, False), (False, True), (True, True))
CALLED = [spec.name for spec in (*SERVICES, LOGS, SQS)] + ["sts", "portal.sso", "s3"]


@cache
def own_endpoints() -> Any:
    """Return the file. botocore's resolver writes into what it gets: copy it first."""
    return json.loads((Path(BOTOCORE_ROOT) / "data/endpoints.json").read_text())


def with_services(endpoints: Any, wanted: Collection[str] | None = None) -> Any:
    """Return endpoints with a copy of the wanted services, or of all."""
    partitions = [
        {
            **each,
            "services": {
                name: copy.deepcopy(each["services"][name])
                for name in each["services"]
                if wanted is None or name in wanted
            },
        }
        for each in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def resolved(endpoints: Any, service: str, region: str, *, fips: bool, dualstack: bool) -> object:
    try:
        return EndpointResolver(endpoints).construct_endpoint(
            service, region, use_fips_endpoint=fips, use_dualstack_endpoint=dualstack
        )
    except EndpointVariantError as error:
        return str(error)


def test_the_endpoints_are_those_of_botocore() -> None:
    assert with_services(LOADER.load_data("endpoints")) == own_endpoints()


@pytest.mark.parametrize("service", CALLED)
def test_endpoints_resolve_as_in_a_session_of_their_own(service: str) -> None:
    shared = LOADER.load_data("endpoints")
    for region in REGIONS:
        for fips, dualstack in VARIANTS:
            own = with_services(own_endpoints(), {service})
            expected = resolved(own, service, region, fips=fips, dualstack=dualstack)
            found = resolved(shared, service, region, fips=fips, dualstack=dualstack)
            assert found == expected, region


@pytest.mark.parametrize("service", [spec.name for spec in SERVICES])
def test_models_are_those_of_botocore(service: str) -> None:
    for kind in ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"):
        own = Loader().load_service_model(service, kind)
        assert LOADER.load_service_model(service, kind) == own


def test_sessions_and_the_contract_share_one_copy() -> None:
    clients = []
    for _ in range(2):
        session = botocore.session.Session()
        share_files(session)
        clients.append(session.create_client("omics", region_name="us-west-2"))
    first, second = (model.description(each.meta.service_model) for each in clients)
    contract = model.description(model.load_service("omics"))
    name = next(iter(contract["operations"]))
    assert first["operations"][name] is second["operations"][name] is contract["operations"][name]


def test_a_session_reads_models_from_its_own_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "omics" / "2099-01-01"
    folder.mkdir(parents=True)
    newer = {**Loader().load_service_model("omics", "service-2"), "operations": {}}
    (folder / "service-2.json").write_text(json.dumps(newer))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    session = botocore.session.Session()
    share_files(session)
    assert session.get_service_model("omics").operation_names == []
    assert model.load_service("omics").operation_names
