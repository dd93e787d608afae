"""The filters of the operations of HealthOmics: none is silently ignored."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import ManualClock
from taskgate_server.aws.model import load_service, operations
from tests.support.omics_runs import ROLE, make_workflow, zipped

_PAGING = {"maxResults", "maxItems", "nextToken", "startingToken"}
_OMICS = load_service("omics")
_LISTS: list[Any] = [each for each in operations(_OMICS) if each.name.startswith("List")]


def _unmatched(name: str, shape: Any) -> Any:
    """Return a valid value that no record of the demo has."""
    if name in {"createdAfter", "updatedAfter"}:
        return datetime(2200, 1, 1, tzinfo=UTC)
    if name in {"createdBefore", "updatedBefore"}:
        return datetime(1990, 1, 1, tzinfo=UTC)
    if shape.type_name == "list":
        return [_unmatched(name, shape.member)]
    words = {"status": "DELETED", "type": "READY2RUN", "resourceOwner": "OTHER"}
    known = getattr(shape, "enum", None) or []
    if known:
        return words[name] if words.get(name) in known else known[-1]
    return "999999999999"


def _filters() -> list[Any]:
    cases = []
    for operation in _LISTS:
        members = dict(operation.input_shape.members) if operation.input_shape else {}
        nested = dict(members.pop("filter").members) if "filter" in members else {}
        path = set(re.findall(r"{(\w+)", operation.http["requestUri"]))
        wire = {
            name for name, shape in members.items() if shape.serialization.get("name", name) in path
        }
        for name, shape in members.items():
            if name not in {*_PAGING, *wire, *operation.input_shape.required_members}:
                cases.append(
                    pytest.param(operation, name, shape, False, id=f"{operation.name}-{name}")
                )
        for name, shape in nested.items():
            cases.append(
                pytest.param(operation, name, shape, True, id=f"{operation.name}-filter.{name}")
            )
    return cases


@pytest.fixture
def known(omics: Any, clock: ManualClock) -> dict[str, str]:
    """Resources of several kinds, so that lists are not empty."""
    workflow = make_workflow(omics, clock)
    omics.create_workflow_version(
        workflowId=workflow,
        versionName="v",
        definitionZip=zipped(main_wdl="version 1.0\nworkflow x {}"),
    )
    clock.advance(3)
    omics.create_run_group(name="group")
    store = omics.create_sequence_store(name="sequences")["id"]
    reference = omics.create_reference_store(name="references")["id"]
    run = omics.start_run(
        workflowId=workflow,
        roleArn=ROLE,
        outputUri="s3://b/o",
        name="run",
        parameters={"reads": ["s3://b/a"], "sample": "s"},
    )["id"]
    clock.advance(30)
    return {
        "workflowId": workflow,
        "id": run,
        "sequenceStoreId": store,
        "referenceStoreId": reference,
    }


@pytest.mark.parametrize(("operation", "name", "shape", "is_nested"), _filters())
def test_filter_is_applied_or_refused(
    omics: Any,
    known: dict[str, str],
    operation: Any,
    name: str,
    shape: Any,
    is_nested: bool,
) -> None:
    required = {
        each: known.get(each, "1234567890")
        for each in operation.input_shape.required_members
        if each != name
    }
    value = _unmatched(name, shape)
    given = {"filter": {name: value}} if is_nested else {name: value}
    call = getattr(omics, re.sub(r"(?<!^)(?=[A-Z])", "_", operation.name).lower())
    status = 200
    rows: list[list[Any]] = [[]]
    try:
        rows = [each for each in call(**required, **given).values() if isinstance(each, list)]
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert (status in {200, 400, 404, 501}, rows) == (True, [[]])


@pytest.mark.parametrize("given", [{"type": "READY2RUN"}, {"workflowOwnerId": "999999999999"}])
def test_private_workflow_is_not_found_as_another(
    omics: Any, known: dict[str, str], given: dict[str, str]
) -> None:
    workflow = known["workflowId"]
    with pytest.raises(omics.exceptions.ResourceNotFoundException):
        omics.get_workflow(id=workflow, **given)
    with pytest.raises(omics.exceptions.ResourceNotFoundException):
        omics.get_workflow_version(workflowId=workflow, versionName="v", **given)
    params = {
        f"workflow{name[0].upper()}{name[1:]}" if name == "type" else name: value
        for name, value in given.items()
    }
    with pytest.raises(omics.exceptions.ResourceNotFoundException):
        omics.start_run(workflowId=workflow, roleArn=ROLE, outputUri="s3://b/o", **params)


def test_private_workflow_is_found_as_private(omics: Any, known: dict[str, str]) -> None:
    assert omics.get_workflow(id=known["workflowId"], type="PRIVATE")["type"] == "PRIVATE"
    rows = omics.list_workflows(type="PRIVATE")["items"]
    assert known["workflowId"] in [row["id"] for row in rows]


def test_estimates_are_in_the_messages_of_a_run(omics: Any, clock: ManualClock) -> None:
    script = "process A { cpus count()\n script: 'x' }\nworkflow { A() }"
    workflow = omics.create_workflow(definitionZip=zipped(main_nf=script))["id"]
    clock.advance(3)
    run = omics.start_run(workflowId=workflow, roleArn=ROLE, outputUri="s3://b/o")["id"]
    clock.advance(60)
    assert "estimates" in omics.get_run(id=run)["statusMessage"]
