"""Values at the limits of JSON, HTTP headers and gRPC's trailing metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.utils import parse_timestamp
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from taskgate_server.aws import model
from tests.support.contract import mirror
from tests.support.contract.exchange import (
    OPERATIONS,
    Exchange,
    Outcome,
    errors_of,
    request_message,
)
from tests.support.contract.synthesis import FULL, Synthesizer, WireResponse
from tests.support.contract.values import TIMESTAMP_TEXTS

METADATA_LIMIT = 8192
"""gRPC clients' default limit on metadata in bytes, summed as HTTP/2 does.

https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h (max_metadata_size)
"""
HTTP2_ENTRY_OVERHEAD = 32

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OPERATION = OPERATIONS[0]


def call(
    exchange: Exchange,
    operation: model.OperationModel,
    response: WireResponse,
    changes: Mapping[str, Any] | None = None,
) -> Outcome:
    params = Synthesizer(wire=False).params(operation, FULL) | dict(changes or {})
    return exchange.grpc(operation, request_message(operation, params), response)


def modelled_error(code: str, body: dict[str, Any], **headers: str) -> WireResponse:
    (shape,) = (shape for shape in errors_of(OPERATION) if shape.name == code)
    status: int = shape.metadata["error"]["httpStatusCode"]
    return WireResponse(status=status, headers={"x-amzn-ErrorType": code, **headers}, body=body)


def info_of(error: Any) -> error_details_pb2.ErrorInfo:
    status: Any = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


def violated_fields(error: Any) -> list[str]:
    status: Any = rpc_status.from_call(error)
    bad = error_details_pb2.BadRequest()
    assert any(packed.Unpack(bad) for packed in status.details)
    return [violation.field for violation in bad.field_violations]


# --- Timestamps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TIMESTAMP_TEXTS)
def test_timestamps_have_every_digit(text: str | float, exchange: Exchange) -> None:
    operation, member = next(
        (operation, name)
        for operation in OPERATIONS
        if operation.output_shape is not None
        for name, shape in operation.output_shape.members.items()
        if shape.type_name == "timestamp"
    )
    response = WireResponse(status=operation.http["responseCode"], body={member: text})

    result = call(exchange, operation, response).result

    field = mirror.field_of(result, member)
    timestamp = getattr(result, field.name)
    assert Decimal(timestamp.seconds) + Decimal(timestamp.nanos).scaleb(-9) == exact(text)


def exact(text: str | float) -> Decimal:
    """Return seconds since 1970: botocore's microseconds and the further digits, which it drops."""
    parse: Any = parse_timestamp  # takes numbers too, which its stubs deny
    moment: datetime = parse(text)
    micros = (moment - EPOCH) // timedelta(microseconds=1)
    finer = re.search(r"\.\d{6}(\d+)", str(text))
    return Decimal(micros).scaleb(-6) + (Decimal(finer[1]).scaleb(-9) if finer else 0)


# --- Errors with long details ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", ["x" * 7_000, "x" * 20_000, "日" * 2_000], ids=["long", "longer", "multibyte"]
)
def test_error_with_a_long_message_arrives(message: str, exchange: Exchange) -> None:
    """AccessDenied messages quote ARNs and policies; the message is sent twice, once encoded."""
    error = call(
        exchange, OPERATION, modelled_error("AccessDeniedException", {"message": message})
    ).error

    assert error.code() is StatusCode.PERMISSION_DENIED, error.details()[:200]
    assert info_of(error).reason == "ACCESS_DENIED_EXCEPTION"
    assert error.details()[:100] == message[:100]
    assert metadata_size(error) <= METADATA_LIMIT


@pytest.mark.parametrize("fields", [100, 400])
def test_error_with_many_fields_arrives(fields: int, exchange: Exchange) -> None:
    body = {
        "message": "no",
        "reason": "FIELD_VALIDATION_FAILED",
        "fieldList": [{"name": f"field{n}", "message": "x" * 100} for n in range(fields)],
    }

    error = call(exchange, OPERATION, modelled_error("ValidationException", body)).error

    assert error.code() is StatusCode.INVALID_ARGUMENT, error.details()[:200]
    assert violated_fields(error)[:10] == [f"field{n}" for n in range(10)]
    assert metadata_size(error) <= METADATA_LIMIT


def test_request_with_many_violations_is_rejected(exchange: Exchange) -> None:
    operation, member, shape = max(
        (
            (operation, name, shape)
            for operation in OPERATIONS
            if operation.input_shape is not None
            for name, shape in operation.input_shape.members.items()
            if isinstance(shape, model.ListShape)
            and isinstance(shape.member, model.StructureShape)
            and not model.is_union(shape.member)
            and all(each.type_name == "string" for each in shape.member.members.values())
        ),
        key=lambda found: found[2].metadata.get("max", 1) * len(found[2].member.required_members),
    )
    item = dict.fromkeys(shape.member.required_members, "not an id")

    outcome = call(
        exchange, operation, WireResponse(status=200), {member: [item] * shape.metadata["max"]}
    )

    assert outcome.sent is None
    error = outcome.error
    assert error.code() is StatusCode.INVALID_ARGUMENT, error.details()[:200]
    assert len(violated_fields(error)) >= 10
    assert metadata_size(error) <= METADATA_LIMIT


def metadata_size(error: Any) -> int:
    message = error.details().encode()
    # grpc-message is percent-encoded, and is not among what a client is given as metadata.
    encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in message)
    return encoded + sum(
        len(key) + len(value) + HTTP2_ENTRY_OVERHEAD for key, value in error.trailing_metadata()
    )


def test_aws_context_does_not_replace_taskgates_metadata(exchange: Exchange) -> None:
    context = {"operation": "other", "http_status": "1", "service": "other", "more": "kept"}

    error = call(
        exchange,
        OPERATION,
        modelled_error("AccessDeniedException", {"message": "no", "context": context}),
    ).error

    metadata = info_of(error).metadata
    assert (metadata["operation"], metadata["http_status"]) == (OPERATION.name, "403")
    assert metadata["more"] == "kept"


@pytest.mark.parametrize("wait", ["Mon, 02 Mar 2026 09:30:15 GMT", "1.5"])
def test_throttle_with_an_unparsable_wait_is_a_throttle(wait: str, exchange: Exchange) -> None:
    """HTTP allows a date. botocore cannot parse it as the model's integer: ValueError."""
    response = modelled_error(
        "ThrottlingException", {"message": "slow down"}, **{"Retry-After": wait}
    )

    error = call(exchange, OPERATION, response).error

    assert error.code() is StatusCode.RESOURCE_EXHAUSTED, error.details()
    assert info_of(error).reason == "THROTTLING_EXCEPTION"


# --- Requests that HTTP or JSON cannot carry ------------------------------------------------------


@pytest.mark.parametrize("token", ["a\r\nX-Other: 1", "a\nb", "\0"])
def test_control_characters_in_a_header_are_rejected(token: str, exchange: Exchange) -> None:
    operation, member, field = next(
        (operation, name, mirror.field_of(request_message(operation, {}), name))
        for operation in OPERATIONS
        if operation.input_shape is not None
        for name, shape in operation.input_shape.members.items()
        if shape.serialization.get("location") == "header" and "pattern" not in shape.metadata
    )

    outcome = call(exchange, operation, WireResponse(status=200), {member: token})

    assert outcome.sent is None
    assert outcome.error.code() is StatusCode.INVALID_ARGUMENT, outcome.error.details()
    assert violated_fields(outcome.error) == [field.name]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_document_with_a_non_finite_number_is_rejected(number: float, exchange: Exchange) -> None:
    operation, member = next(
        (operation, name)
        for operation in OPERATIONS
        if operation.input_shape is not None
        for name, shape in operation.input_shape.members.items()
        if model.is_document(shape)
    )

    outcome = call(exchange, operation, WireResponse(status=200), {member: {"deep": [number]}})

    assert outcome.sent is None
    assert outcome.error.code() is StatusCode.INVALID_ARGUMENT
    (path,) = violated_fields(outcome.error)
    assert path.startswith(mirror.field_of(request_message(operation, {}), member).name)
