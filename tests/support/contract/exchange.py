"""Performs one operation with boto3 and over gRPC, and compares the two.

Both get the same canned response from the same emulator, which records what each has sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from taskgate_emulator import Emulator
from taskgate_emulator.core.observation import RecordedRequest
from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from tests.support.contract import mirror
from tests.support.contract.synthesis import Synthesizer, Variant, WireResponse

REQUEST_ID = "11111111-2222-4333-8444-555555555555"
TIME_LIMIT_SECONDS = 20

# Each call has its own of these. The length follows from the body, which is compared itself.
OWN_HEADERS = {
    "authorization",
    "content-length",
    "host",
    "traceparent",
    "user-agent",
    "x-amz-date",
    "x-amzn-trace-id",
}


def _streams(operation: model.OperationModel) -> bool:
    shapes = operation.input_shape, operation.output_shape
    return any(model.streaming_member(shape) is not None for shape in shapes)


OPERATIONS = [
    operation
    for spec in SERVICES
    for operation in model.operations(model.load_service(spec.name))
    # Payloads that are streams travel in many messages, which this way of asking does not do.
    if not _streams(operation)
]


def service_of(operation: model.OperationModel) -> str:
    """Return botocore's name of the operation's service."""
    return str(operation.service_model.service_name)


def operation_id(operation: model.OperationModel) -> str:
    """Return a test id such as `deadline-GetTask`."""
    return f"{service_of(operation)}-{operation.name}"


EVERY = [pytest.param(operation, id=operation_id(operation)) for operation in OPERATIONS]


def contract_of(service: str) -> ServiceDescriptor:
    """Return the generated gRPC service."""
    module = import_module(f"taskgate.{service}.v1.{service}_pb2")
    (descriptor,) = module.DESCRIPTOR.services_by_name.values()
    assert isinstance(descriptor, ServiceDescriptor)
    return descriptor


def errors_of(operation: model.OperationModel) -> list[model.StructureShape]:
    """Return the errors that the model declares for an operation."""
    return [shape for shape in operation.error_shapes if isinstance(shape, model.StructureShape)]


def method_of(operation: model.OperationModel) -> MethodDescriptor:
    """Return the RPC of an operation."""
    return contract_of(service_of(operation)).methods_by_name[operation.name]


def request_message(operation: model.OperationModel, params: Mapping[str, Any]) -> Message:
    """Convert boto3's params to a request message."""
    message = message_factory.GetMessageClass(method_of(operation).input_type)()
    if operation.input_shape is not None:
        mirror.write(message, operation.input_shape, params)
    return message


def _generated_tokens(operation: model.OperationModel, params: Mapping[str, Any]) -> list[str]:
    """Return the header or body names of the idempotency tokens that boto3 generates."""
    names = []
    for member in operation.idempotent_members:
        if member not in params and operation.input_shape is not None:
            place = operation.input_shape.members[member].serialization
            name: str = place.get("name", member)
            names.append(name.lower() if place.get("location") == "header" else name)
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a call: the request sent to AWS, and the caller's result."""

    sent: RecordedRequest | None
    result: Any = None
    error: Any = None
    trailers: Mapping[str, Any] | None = None


class Exchange:
    """Performs calls with boto3 and over gRPC."""

    def __init__(self, aws: Emulator, channel: grpc.Channel, clients: Mapping[str, Any]) -> None:
        self._aws = aws
        self._channel = channel
        self._clients = clients

    def compare(
        self,
        operation: model.OperationModel,
        synthesizers: tuple[Synthesizer, Synthesizer],
        variant: Variant,
    ) -> list[str]:
        """Return the differences for one variant of params and response."""
        params = synthesizers[0].params(operation, variant)
        response = synthesizers[1].response(operation, variant)
        oracle = self.boto3(operation, params, response)
        actual = self.grpc(operation, request_message(operation, params), response)
        if oracle.error is not None or actual.error is not None:
            return [f"{oracle.error} != {actual.error} for {params} and {response}"]

        faults = sent_differences(oracle.sent, actual.sent, _generated_tokens(operation, params))
        if operation.output_shape is not None:
            mirrored = mirror.read(actual.result, operation.output_shape)
            faults += differences(oracle.result, mirrored, "response")
        if (actual.trailers or {}).get("taskgate-aws-request-id") != REQUEST_ID:
            faults.append(f"trailing metadata {actual.trailers}")
        return faults

    def boto3(
        self, operation: model.OperationModel, params: Mapping[str, Any], response: WireResponse
    ) -> Outcome:
        """Perform a call with boto3; its client-side errors are raised."""
        client = self._clients[service_of(operation)]
        methods = {api: name for name, api in client.meta.method_to_api_mapping.items()}
        before = self._queue(operation, response)
        try:
            result = getattr(client, methods[operation.name])(**params)
        except client.exceptions.ClientError as error:
            return Outcome(sent=self._sent(operation, before), error=error)
        assert result.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
        return Outcome(sent=self._sent(operation, before), result=result)

    def grpc(
        self, operation: model.OperationModel, request: Message, response: WireResponse
    ) -> Outcome:
        """Perform a call over gRPC."""
        method = method_of(operation)
        response_class = message_factory.GetMessageClass(method.output_type)
        call = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class.FromString,
        )
        before = self._queue(operation, response)
        try:
            message, context = call.with_call(
                request,
                timeout=TIME_LIMIT_SECONDS,
                metadata=(("taskgate-report-source", "true"),),
            )
        except grpc.RpcError as error:
            sent = self._sent(operation, before)
            if sent is None:
                self._discard(operation)
            return Outcome(sent=sent, error=error)
        trailers = dict(context.trailing_metadata() or ())
        return Outcome(sent=self._sent(operation, before), result=message, trailers=trailers)

    def _queue(
        self, operation: model.OperationModel, response: WireResponse
    ) -> RecordedRequest | None:
        headers = {"x-amzn-RequestId": REQUEST_ID, **response.headers}
        self._aws.respond(
            service_of(operation),
            operation.name,
            status=response.status,
            headers=headers,
            body=response.body,
        )
        return self._latest(operation)

    def _latest(self, operation: model.OperationModel) -> RecordedRequest | None:
        """Return the last request of an operation; the server may have sent a probe since."""
        key = service_of(operation), operation.name
        return next(
            (
                each
                for each in reversed(self._aws.requests)
                if (each.service, each.operation) == key
            ),
            None,
        )

    def _sent(
        self, operation: model.OperationModel, before: RecordedRequest | None
    ) -> RecordedRequest | None:
        latest = self._latest(operation)
        return None if latest is before else latest

    def _discard(self, operation: model.OperationModel) -> None:
        """Remove the canned response, which was not used as nothing was sent."""
        self._aws.discard(service_of(operation), operation.name)


def sent_differences(
    oracle: RecordedRequest | None, actual: RecordedRequest | None, generated: list[str]
) -> list[str]:
    """Return the differences between two requests; the values of `generated` tokens may differ."""
    if oracle is None or actual is None:
        return [f"sent: {oracle} != {actual}"]
    return differences(
        _comparable(oracle, generated), _comparable(actual, generated), "sent", strict=True
    )


def _comparable(request: RecordedRequest, generated: list[str]) -> dict[str, Any]:
    body: Any = json.loads(request.body) if request.body else None
    headers: dict[str, Any] = {
        name: value
        for name, value in ((name.lower(), value) for name, value in request.headers.items())
        if name not in OWN_HEADERS and not name.startswith("amz-sdk-")
    }
    for name in generated:
        for holder in (headers, body):
            if isinstance(holder, dict) and name in holder:
                holder[name] = bool(holder[name])
    return {
        "operation": f"{request.service}.{request.operation}",
        "method": request.method,
        "path": request.raw_path,
        # boto3 writes the query in the order of its caller's keywords, which means nothing.
        "query": sorted(request.query.split("&"), key=lambda pair: pair.partition("=")[0]),
        "headers": headers,
        "body": body,
    }


def differences(oracle: Any, actual: Any, path: str, *, strict: bool = False) -> list[str]:
    """Return the differences between two values; `strict` also distinguishes 2.0 from 2."""
    if isinstance(oracle, Mapping) and isinstance(actual, Mapping):
        found = []
        for key in {**oracle, **actual}:
            where = f"{path}.{key}"
            if key not in actual or key not in oracle:
                found.append(f"{where}: only in {'the judge' if key in oracle else 'ours'}")
            else:
                found += differences(oracle[key], actual[key], where, strict=strict)
        return found
    if isinstance(oracle, list) and isinstance(actual, list) and len(oracle) == len(actual):
        pairs = enumerate(zip(oracle, actual, strict=True))
        return [
            difference
            for index, (one, other) in pairs
            for difference in differences(one, other, f"{path}[{index}]", strict=strict)
        ]
    same = oracle == actual and isinstance(oracle, bool) == isinstance(actual, bool)
    same = same or (oracle != oracle and actual != actual)  # noqa: PLR0124  # only NaN differs from itself
    if strict:
        same = same and type(oracle) is type(actual)
    if isinstance(oracle, datetime) and isinstance(actual, datetime):
        same = same and oracle.tzinfo is not None and actual.tzinfo is not None
    return [] if same else [f"{path}: {oracle!r} != {actual!r}"]
