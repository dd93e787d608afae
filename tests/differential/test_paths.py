"""Values in the path of a URL: real ARNs are sent as boto3 sends them, and no value escapes.

botocore's serializer builds the path, and the emulator's router, which is built from the models
alone, finds the operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import pytest
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from taskgate_emulator.core.errors import UnknownOperationError
from taskgate_emulator.core.routing import Router
from taskgate_server.aws import model
from taskgate_server.aws.constraints import compile_check
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import Exchange, operation_id, request_message
from tests.support.contract.synthesis import FULL, MINIMAL, Synthesizer, WireResponse
from tests.support.seeds import examples

EVERY: Final = [
    operation for spec in SERVICES for operation in model.operations(model.load_service(spec.name))
]
ROUTER: Final = Router(EVERY)

FARM: Final = f"farm/farm-{'0' * 32}"
ARNS: Final = {
    "deadline": [
        f"arn:aws:deadline:us-west-2:123456789012:{FARM}",
        f"arn:aws-cn:deadline:cn-north-1:123456789012:{FARM}/queue/queue-{'1' * 32}",
        f"arn:aws:deadline:us-west-2:123456789012:license-endpoint/le-{'2' * 32}",
        f"arn:aws:deadline:us-west-2:123456789012:monitor/monitor-{'3' * 32}",
    ],
    "omics": [
        "arn:aws:omics:us-west-2:123456789012:run/1234567",
        "arn:aws:omics:us-west-2:123456789012:referenceStore/1234567890/reference/1234567890",
        "arn:aws:omics:us-west-2:123456789012:sequenceStore/1234567890/readSet/1234567890",
        "arn:aws:omics:us-west-2:123456789012:workflow/1234567/version/v1.0",
    ],
}
ACCESS_POINT: Final = "arn:aws:s3:us-west-2:123456789012:accesspoint/my-access-point"


def path_members(operation: model.OperationModel) -> dict[str, model.Shape]:
    members: dict[str, model.Shape] = operation.input_shape.members if operation.input_shape else {}
    return {
        name: shape
        for name, shape in members.items()
        if shape.serialization.get("location") == "uri"
    }


WITH_PATHS: Final = [operation for operation in EVERY if path_members(operation)]
WITH_ARNS: Final = [
    (operation, member)
    for operation in WITH_PATHS
    for member in path_members(operation)
    if member.lower().endswith("arn")
]


def arns_for(operation: model.OperationModel, member: str) -> list[str]:
    return [ACCESS_POINT] if "AccessPoint" in member else ARNS[operation.service_model.service_name]


def sent_path(operation: model.OperationModel, params: dict[str, Any]) -> str:
    """Return the path on the wire: botocore's, normalized by urllib3."""
    protocol = operation.service_model.metadata["protocol"]
    serialized: Any = create_serializer(protocol).serialize_to_request(params, operation)
    path = parse_url(f"https://aws.test{serialized['url_path']}").path
    assert path is not None
    return path


def routed(operation: model.OperationModel, path: str) -> model.OperationModel | None:
    try:
        return ROUTER.find(operation.http["method"], path).operation
    except UnknownOperationError:
        return None


def without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, section 5.2.4) from a path that a proxy has decoded."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


@pytest.mark.parametrize(
    ("operation", "member"),
    [pytest.param(*case, id=f"{operation_id(case[0])}-{case[1]}") for case in WITH_ARNS],
)
def test_real_arns_are_sent_as_boto3_sends_them(
    operation: model.OperationModel, member: str, exchange: Exchange
) -> None:
    for arn in arns_for(operation, member):
        params = Synthesizer(wire=False).params(operation, MINIMAL) | {member: arn}

        outcome = exchange.grpc(
            operation, request_message(operation, params), WireResponse(status=200, body={})
        )

        assert outcome.sent is not None, outcome.error
        path = outcome.sent.raw_path
        assert path == sent_path(operation, params)
        assert ROUTER.find(operation.http["method"], path).labels[member] == arn


FRAGMENTS: Final = st.sampled_from(
    [
        *(
            "/",
            "..",
            ".",
            "%2f",
            "%2F",
            "%252F",
            "%2e%2e",
            "\\",
            "\n",
            "\0",
            "?",
            "#",
            ";",
            ":",
            " ",
        ),
        *("arn:", ARNS["deadline"][0], ARNS["omics"][1], ACCESS_POINT, "farm-1", "é", "a", "0"),
        *sorted({part for each in EVERY for part in each.http["requestUri"].split("/")}),
    ]
)
VALUES: Final = st.one_of(
    st.text(max_size=8), st.lists(FRAGMENTS, max_size=6).map("".join), FRAGMENTS
)


@pytest.mark.parametrize("operation", WITH_PATHS, ids=operation_id)
def test_accepted_value_leads_to_its_operation(operation: model.OperationModel) -> None:
    checks = {name: compile_check(shape) for name, shape in path_members(operation).items()}
    valid = Synthesizer(wire=False).params(operation, FULL)

    @settings(max_examples=examples(60))
    @given(member=st.sampled_from(sorted(checks)), value=VALUES)
    def lead(member: str, value: str) -> None:
        check = checks[member]
        if check is not None and check(value) is not None:
            return
        path = sent_path(operation, valid | {member: value})

        found = routed(operation, path)
        assert found is operation
        # A proxy on the way may decode the path; then it must lead nowhere else.
        assert routed(operation, without_dots(unquote(path))) in (operation, None)

    lead()


def escaping(operation: model.OperationModel) -> Iterator[tuple[str, str]]:
    for member in path_members(operation):
        for value in ("", ".", "..", "a/b", "../x", "a%2fb", "a\\b", "a\nb", "arn:x/../../y"):
            yield member, value


@pytest.mark.parametrize("operation", WITH_PATHS, ids=operation_id)
def test_value_that_escapes_its_segment_is_rejected(operation: model.OperationModel) -> None:
    members = path_members(operation)
    accepted = [
        (member, value)
        for member, value in escaping(operation)
        if (check := compile_check(members[member])) is None or check(value) is None
    ]

    assert accepted == []


def test_dots_escape_without_the_check() -> None:
    """The control: without the check a value would reach another operation."""
    operation = next(each for each in WITH_ARNS if each[0].name == "ListTagsForResource")[0]

    path = sent_path(operation, {"resourceArn": ".."})

    assert routed(operation, path) is not operation
