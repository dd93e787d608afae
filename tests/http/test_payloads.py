"""Downloads and uploads in JSON: the same payload and the same AWS request as over gRPC."""

from __future__ import annotations

import base64
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory

from taskgate_emulator import Emulator
from taskgate_emulator.core.observation import RecordedRequest
from taskgate_server.aws import model
from taskgate_server.ports import Address
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import method_of, operation_id, request_message, service_of
from tests.support.contract.synthesis import MINIMAL, Synthesizer
from tests.support.http_client import END_OF_STREAM, streaming
from tests.support.seeds import seeded

PAYLOAD = seeded("payload over HTTP").randbytes(700_001)
CHUNK = 250_000
OPERATIONS = [
    pytest.param(operation, id=operation_id(operation))
    for spec in SERVICES
    for operation in model.operations(model.load_service(spec.name))
    if any(map(model.streaming_member, (operation.input_shape, operation.output_shape)))
]


def parts(operation: model.OperationModel) -> list[Any]:
    """Return the messages of a request, each with a part of the payload if it is an upload."""
    upload = model.streaming_member(operation.input_shape)
    params = Synthesizer(wire=False).params(operation, MINIMAL)
    if upload is None:
        return [request_message(operation, params)]
    chunks = [PAYLOAD[start : start + CHUNK] for start in range(0, len(PAYLOAD), CHUNK)]
    members = [params, *({} for _ in chunks[1:])]
    return [
        request_message(operation, {**each, upload: chunk})
        for each, chunk in zip(members, chunks, strict=True)
    ]


def over_grpc(channel: grpc.Channel, operation: model.OperationModel) -> list[dict[str, Any]]:
    method = method_of(operation)
    kind: Any = message_factory.GetMessageClass(method.output_type)
    call: Any = channel.stream_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        lambda message: message.SerializeToString(),
        kind.FromString,
    )
    return [json_format.MessageToDict(each) for each in call(iter(parts(operation)), timeout=20)]


def over_http(http: Address, operation: model.OperationModel) -> list[dict[str, Any]]:
    method = method_of(operation)
    name = f"{method.containing_service.full_name}/{method.name}"
    messages = [json_format.MessageToDict(each) for each in parts(operation)]
    with streaming(http, name, *messages) as envelopes:
        *received, (flags, end) = envelopes
    assert (flags, end.get("error")) == (END_OF_STREAM, None)
    return [message for _, message in received]


def joined(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """Return the messages without their payload, and the payload."""
    payload = b"".join(base64.b64decode(each.pop("payload", "")) for each in messages)
    return [each for each in messages if each], payload


def sent_to_aws(request: RecordedRequest) -> tuple[object, ...]:
    return request.method, request.raw_path, request.query, request.body


@pytest.mark.parametrize("operation", OPERATIONS)
def test_json_streams_what_grpc_streams(
    aws: Emulator, http: Address, grpc_channel: grpc.Channel, operation: model.OperationModel
) -> None:
    is_upload = model.streaming_member(operation.input_shape) is not None
    body = {"checksum": "abc"} if is_upload else PAYLOAD
    aws.respond(service_of(operation), operation.name, body=body, times=2)
    expected = joined(over_grpc(grpc_channel, operation))
    by_grpc = aws.requests[-1]
    assert joined(over_http(http, operation)) == expected
    assert sent_to_aws(aws.requests[-1]) == sent_to_aws(by_grpc)
    assert (by_grpc.body if is_upload else expected[1]) == PAYLOAD
