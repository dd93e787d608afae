"""A client with the stubs of an old contract, and the present server."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from taskgate_emulator import Emulator
from taskgate_emulator.core.observation import RecordedRequest
from taskgate_server.aws import model
from tests.skew.old_contract import (
    METHODS,
    by_name,
    known_service,
    message_of,
    method_id,
    present,
    service_name,
)
from tests.support.contract.comparison import canonical, known_differences
from tests.support.contract.exchange import _OWN_HEADERS, TIME_LIMIT_SECONDS, request_message
from tests.support.contract.synthesis import FULL, Synthesizer


class Wire:
    """Performs calls with bytes, so that messages of any contract can be used."""

    def __init__(self, aws: Emulator, channel: grpc.Channel) -> None:
        self._aws = aws
        self._channel = channel

    def call(
        self, method: MethodDescriptor, request: Message
    ) -> tuple[RecordedRequest, list[bytes]]:
        """Return the request sent to AWS, and every message of the response."""
        operation = model.load_service(service_name(method)).operation_model(method.name)
        response = Synthesizer(wire=True).response(operation, FULL)
        self._aws.respond(
            service_name(method),
            method.name,
            status=response.status,
            headers=response.headers,
            body=response.body,
        )
        responses = self._call(method, request.SerializeToString())
        # On a busy machine a probe of the server's may come after it.
        sent = next(each for each in reversed(self._aws.requests) if each.operation == method.name)
        return sent, responses

    def _call(self, method: MethodDescriptor, request: bytes) -> list[bytes]:
        path = f"/{method.containing_service.full_name}/{method.name}"
        # Without serializers grpc takes and gives bytes, which its stubs do not say.
        channel: Any = self._channel
        if method.server_streaming:
            return list(channel.unary_stream(path)(request, timeout=TIME_LIMIT_SECONDS))
        if method.client_streaming:
            requests = iter([request])
            return [channel.stream_unary(path)(requests, timeout=TIME_LIMIT_SECONDS)]
        return [channel.unary_unary(path)(request, timeout=TIME_LIMIT_SECONDS)]


@pytest.fixture(scope="module")
def wire(aws: Emulator, channel: grpc.Channel) -> Wire:
    return Wire(aws, channel)


def comparable(request: RecordedRequest) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_json = request.body.startswith(b"{")
    return {
        "method": request.method,
        "path": request.raw_path,
        "query": sorted(request.query.split("&")),
        "headers": {
            name: value
            for name, value in headers.items()
            if name not in _OWN_HEADERS and not name.startswith("amz-sdk-")
        },
        "body": json.loads(request.body) if is_json else request.body,
    }


@pytest.mark.parametrize("old", METHODS, ids=method_id)
def test_old_client_gets_all_that_it_knows(old: MethodDescriptor, wire: Wire) -> None:
    today = present(old)
    known = known_service(service_name(old)).operation_model(old.name)
    operation = model.load_service(service_name(old)).operation_model(old.name)
    request = request_message(operation, Synthesizer(wire=False).params(known, FULL))

    sent, responses = wire.call(old, by_name(request, old.input_type))

    expected, _ = wire.call(today, request)
    assert comparable(sent) == comparable(expected)
    assert responses
    for raw in responses:
        mine, todays = message_of(old.output_type), message_of(today.output_type)
        mine.ParseFromString(raw)
        todays.ParseFromString(raw)
        assert known_differences(mine, todays) == []
        again = message_of(today.output_type)
        again.ParseFromString(mine.SerializeToString())
        assert canonical(again) == canonical(todays)
