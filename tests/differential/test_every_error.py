"""Every modelled error of every operation: the gRPC error has all that boto3 parses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore import xform_name
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from taskgate_server.aws import model
from taskgate_server.error_texts import sanitize
from tests.support.contract.exchange import (
    EVERY,
    OPERATIONS,
    REQUEST_ID,
    Exchange,
    errors_of,
    operation_id,
    request_message,
    service_of,
)
from tests.support.contract.synthesis import (
    BARE,
    FULL,
    MINIMAL,
    RANDOM,
    Synthesizer,
    Variant,
    WireResponse,
)

# The table of docs/errors.md once more, so that a slip in the server's own cannot hide itself.
CODES = {
    "ValidationException": StatusCode.INVALID_ARGUMENT,
    "AccessDeniedException": StatusCode.PERMISSION_DENIED,
    "ResourceNotFoundException": StatusCode.NOT_FOUND,
    "ThrottlingException": StatusCode.RESOURCE_EXHAUSTED,
    "ServiceQuotaExceededException": StatusCode.RESOURCE_EXHAUSTED,
    "ConflictException": StatusCode.FAILED_PRECONDITION,
    "InternalServerErrorException": StatusCode.INTERNAL,
    "InternalServerException": StatusCode.INTERNAL,
    "RequestTimeoutException": StatusCode.DEADLINE_EXCEEDED,
    "NotSupportedOperationException": StatusCode.UNIMPLEMENTED,
    "RangeNotSatisfiableException": StatusCode.OUT_OF_RANGE,
}
CONFLICTS = {
    "RESOURCE_ALREADY_EXISTS": StatusCode.ALREADY_EXISTS,
    "CONCURRENT_MODIFICATION": StatusCode.ABORTED,
}


FIRST_OF_EACH = list(
    {
        (service_of(operation), shape.name): (operation, shape)
        for operation in reversed(OPERATIONS)
        for shape in errors_of(operation)
    }.values()
)


@pytest.mark.parametrize("operation", EVERY)
def test_every_error_is_complete(operation: model.OperationModel, exchange: Exchange) -> None:
    faults = [
        f"{shape.name}: {fault}"
        for shape in errors_of(operation)
        for fault in compare(operation, exchange, shape, FULL)
    ]
    assert errors_of(operation)
    assert not faults, "\n".join(faults[:10])


@pytest.mark.parametrize("variant", [MINIMAL, BARE, *RANDOM], ids=lambda v: f"seed{v.seed}")
@pytest.mark.parametrize(
    ("operation", "shape"),
    [pytest.param(*each, id=f"{operation_id(each[0])}-{each[1].name}") for each in FIRST_OF_EACH],
)
def test_error_with_some_of_its_members(
    operation: model.OperationModel,
    shape: model.StructureShape,
    variant: Variant,
    exchange: Exchange,
) -> None:
    assert not compare(operation, exchange, shape, variant)


EVERY_REASON = [
    pytest.param(operation, shape, reason, id=f"{operation_id(operation)}-{shape.name}-{reason}")
    for operation, shape in FIRST_OF_EACH
    if "reason" in shape.members
    for reason in model.enum_values(shape.members["reason"])
]


@pytest.mark.parametrize(("operation", "shape", "reason"), EVERY_REASON)
def test_every_reason(
    operation: model.OperationModel, shape: model.StructureShape, reason: str, exchange: Exchange
) -> None:
    response = canned(shape, FULL)
    assert isinstance(response.body, dict)
    response.body["reason"] = reason

    assert not compare_answer(operation, exchange, shape, response)


def test_reason_that_the_model_does_not_know(exchange: Exchange) -> None:
    operation, shape, _ = EVERY_REASON[0].values
    assert isinstance(operation, model.OperationModel)
    assert isinstance(shape, model.StructureShape)
    response = canned(shape, FULL)
    assert isinstance(response.body, dict)
    response.body["reason"] = "BRAND_NEW_REASON"

    assert not compare_answer(operation, exchange, shape, response)


def canned(shape: model.StructureShape, variant: Variant) -> WireResponse:
    # Some services put the URI of the error's model behind its name.
    error_type = shape.name + (":http://internal.amazon.com/coral/" if variant is MINIMAL else "")
    return Synthesizer(wire=True).error(shape, variant, error_type)


def compare(
    operation: model.OperationModel,
    exchange: Exchange,
    shape: model.StructureShape,
    variant: Variant,
) -> list[str]:
    return compare_answer(operation, exchange, shape, canned(shape, variant))


def compare_answer(
    operation: model.OperationModel,
    exchange: Exchange,
    shape: model.StructureShape,
    response: WireResponse,
) -> list[str]:
    params = Synthesizer(wire=False).params(operation, FULL)
    oracle = exchange.boto3(operation, params, response).error
    actual = exchange.grpc(operation, request_message(operation, params), response).error
    if oracle is None or actual is None:
        return [f"no error: {oracle}, {actual}"]
    status: Any = rpc_status.from_call(actual)
    if status is None:
        return [f"{actual.code()} without details: {actual.details()}"]
    details = unpacked(status)
    expected = expected_details(oracle.response, operation, shape)
    if "resource" in expected and not expected["resource"][1]:
        expected["resource"] = expected["resource"][0], resource_in_route(operation, params)
    faults = [] if type(oracle).__name__ == shape.name else [f"the judge says {oracle!r}"]
    if actual.code() is not expected_code(oracle.response):
        faults.append(f"code {actual.code()}")
    description = {
        key: value for key, value in details.items() if key not in ("message", "metadata")
    }
    if description != expected:
        faults.append(f"details {description}, expected {expected}")
    message = oracle.response["Error"]["Message"]
    # AWS may send no text; then the server says whose error it is.
    if message and (actual.details(), details["message"]) != (message, message):
        faults.append(f"message {actual.details()!r}, {details['message']!r}, expected {message!r}")
    missing = expected_metadata(oracle.response, operation).items() - details["metadata"].items()
    if missing:
        faults.append(f"metadata {details['metadata']} lacks {missing}")
    return faults


def expected_code(response: Mapping[str, Any]) -> StatusCode:
    code = response["Error"]["Code"]
    if code == "ConflictException":
        return CONFLICTS.get(response.get("reason", ""), CODES[code])
    return CODES[code]


def expected_metadata(
    response: Mapping[str, Any], operation: model.OperationModel
) -> dict[str, str]:
    metadata = {
        "operation": operation.name,
        "http_status": str(response["ResponseMetadata"]["HTTPStatusCode"]),
    }
    for member, value in response.items():
        if member in ("Error", "ResponseMetadata", "message"):
            continue
        if isinstance(value, str | int):
            metadata[member] = str(value)
        elif isinstance(value, dict):  # AWS's own context
            metadata |= value
    return metadata


def expected_details(
    response: Mapping[str, Any], operation: model.OperationModel, shape: model.StructureShape
) -> dict[str, Any]:
    """Return every detail except the message and the metadata, in a comparable form."""
    expected: dict[str, Any] = {
        "reason": xform_name(response["Error"]["Code"]).upper(),
        "domain": f"{service_of(operation)}.amazonaws.com",
        "request_id": REQUEST_ID,
    }
    if response.get("fieldList"):
        expected["violations"] = [
            (xform_name(field["name"]), field["message"]) for field in response["fieldList"]
        ]
    if "retryAfterSeconds" in response:
        expected["retry_after"] = max(response["retryAfterSeconds"], 0)
    elif shape.name == "ThrottlingException":
        expected["retry_after"] = 1
    if shape.name in ("ThrottlingException", "ServiceQuotaExceededException"):
        subject = response.get("serviceCode") or service_of(operation)
        expected["quotas"] = [(subject, response.get("quotaCode", ""))]
    if shape.name in ("ResourceNotFoundException", "ConflictException"):
        expected["resource"] = response.get("resourceType"), response.get("resourceId", "")
        if not response.get("resourceType"):
            expected["resource"] = TITLES[service_of(operation)], response.get("resourceId", "")
    return expected


def resource_in_route(operation: model.OperationModel, params: Mapping[str, Any]) -> str:
    """Return the route up to its last id, with the ids of the request."""
    route: str = operation.http["requestUri"].partition("?")[0].strip("/")
    route = route[: route.rfind("}") + 1]
    shape = operation.input_shape
    for member, each in shape.members.items() if shape is not None else ():
        label = each.serialization.get("name", member)
        for form in (f"{{{label}}}", f"{{{label}+}}"):
            if each.serialization.get("location") == "uri" and form in route:
                value = str(params[member])
                # The ARNs of these requests are random text, see tests/server/test_error_texts.py.
                route = route.replace(form, sanitize(value) if value.startswith("arn:") else value)
    return route


TITLES = {"deadline": "AWS Deadline Cloud", "omics": "AWS HealthOmics"}


def unpacked(status: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"message": status.message}
    for packed in status.details:
        name = packed.TypeName().rpartition(".")[2]
        detail: Any = getattr(error_details_pb2, name)()
        packed.Unpack(detail)
        match name:
            case "ErrorInfo":
                found |= {"reason": detail.reason, "domain": detail.domain}
                found["metadata"] = dict(detail.metadata)
            case "RequestInfo":
                found["request_id"] = detail.request_id
            case "BadRequest":
                found["violations"] = [(v.field, v.description) for v in detail.field_violations]
            case "RetryInfo":
                delay = detail.retry_delay
                found["retry_after"] = delay.seconds + delay.nanos / 1e9
            case "QuotaFailure":
                found["quotas"] = [(v.subject, v.quota_id) for v in detail.violations]
            case "ResourceInfo":
                found["resource"] = detail.resource_type, detail.resource_name
            case _:
                found[name] = detail
    return found
