"""One operation asked twice, by boto3 and over gRPC, and what differs between the two.

Both meet the same canned answer at the same emulator, which records what each has sent.
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
from tests.support.contract.synthesis import Synthesizer, Variant, WireAnswer

REQUEST_ID = "11111111-2222-4333-8444-555555555555"
TIME_LIMIT_SECONDS = 20

# Each call has its own of these. The length follows from the body, which is compared itself.
_OWN_HEADERS = {
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
    """botocore's name of the operation's service."""
    return str(operation.service_model.service_name)


def operation_id(operation: model.OperationModel) -> str:
    """`deadline-GetTask`."""
    return f"{service_of(operation)}-{operation.name}"


EVERY = [pytest.param(operation, id=operation_id(operation)) for operation in OPERATIONS]


def contract_of(service: str) -> ServiceDescriptor:
    """The generated gRPC service."""
    module = import_module(f"taskgate.{service}.v1.{service}_pb2")
    (descriptor,) = module.DESCRIPTOR.services_by_name.values()
    assert isinstance(descriptor, ServiceDescriptor)
    return descriptor


def errors_of(operation: model.OperationModel) -> list[model.StructureShape]:
    """The errors that the model declares for an operation."""
    return [shape for shape in operation.error_shapes if isinstance(shape, model.StructureShape)]


def method_of(operation: model.OperationModel) -> MethodDescriptor:
    """The RPC of an operation."""
    return contract_of(service_of(operation)).methods_by_name[operation.name]


def request_message(operation: model.OperationModel, params: Mapping[str, Any]) -> Message:
    """The request that says the same as boto3's parameters."""
    message = message_factory.GetMessageClass(method_of(operation).input_type)()
    if operation.input_shape is not None:
        mirror.write(message, operation.input_shape, params)
    return message


def _made_up(operation: model.OperationModel, params: Mapping[str, Any]) -> list[str]:
    """The idempotency tokens that boto3 makes up, by their names in the header or body."""
    names = []
    for member in operation.idempotent_members:
        if member not in params and operation.input_shape is not None:
            place = operation.input_shape.members[member].serialization
            name: str = place.get("name", member)
            names.append(name.lower() if place.get("location") == "header" else name)
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call: what was sent to AWS, and what the caller got."""

    sent: RecordedRequest | None
    result: Any = None
    error: Any = None
    trailers: Mapping[str, Any] | None = None


class Exchange:
    """Asks both ways."""

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
        """What differs between the two for one variant of parameters and answer."""
        params = synthesizers[0].params(operation, variant)
        answer = synthesizers[1].answer(operation, variant)
        judge = self.boto3(operation, params, answer)
        ours = self.grpc(operation, request_message(operation, params), answer)
        if judge.error is not None or ours.error is not None:
            return [f"{judge.error} != {ours.error} for {params} and {answer}"]

        faults = sent_differences(judge.sent, ours.sent, _made_up(operation, params))
        if operation.output_shape is not None:
            mirrored = mirror.read(ours.result, operation.output_shape)
            faults += differences(judge.result, mirrored, "answer")
        if (ours.trailers or {}).get("taskgate-aws-request-id") != REQUEST_ID:
            faults.append(f"trailing metadata {ours.trailers}")
        return faults

    def boto3(
        self, operation: model.OperationModel, params: Mapping[str, Any], answer: WireAnswer
    ) -> Outcome:
        """Ask with boto3; its own errors of the client side are raised."""
        client = self._clients[service_of(operation)]
        methods = {api: name for name, api in client.meta.method_to_api_mapping.items()}
        before = self._queue(operation, answer)
        try:
            result = getattr(client, methods[operation.name])(**params)
        except client.exceptions.ClientError as error:
            return Outcome(sent=self._sent(operation, before), error=error)
        assert result.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
        return Outcome(sent=self._sent(operation, before), result=result)

    def grpc(
        self, operation: model.OperationModel, request: Message, answer: WireAnswer
    ) -> Outcome:
        """Ask over gRPC."""
        method = method_of(operation)
        response_class = message_factory.GetMessageClass(method.output_type)
        call = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class.FromString,
        )
        before = self._queue(operation, answer)
        try:
            response, context = call.with_call(request, timeout=TIME_LIMIT_SECONDS)
        except grpc.RpcError as error:
            sent = self._sent(operation, before)
            if sent is None:
                self._use_up(operation)
            return Outcome(sent=sent, error=error)
        trailers = dict(context.trailing_metadata() or ())
        return Outcome(sent=self._sent(operation, before), result=response, trailers=trailers)

    def _queue(self, operation: model.OperationModel, answer: WireAnswer) -> RecordedRequest | None:
        headers = {"x-amzn-RequestId": REQUEST_ID, **answer.headers}
        self._aws.respond(
            service_of(operation),
            operation.name,
            status=answer.status,
            headers=headers,
            body=answer.body,
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

    def _use_up(self, operation: model.OperationModel) -> None:
        """Nothing was sent, so the canned answer still waits; the next call must not find it."""
        self._aws.discard(service_of(operation), operation.name)


def sent_differences(
    judge: RecordedRequest | None, ours: RecordedRequest | None, made_up: list[str]
) -> list[str]:
    """What differs between two requests; `made_up` are tokens that boto3 invents at each call."""
    if judge is None or ours is None:
        return [f"sent: {judge} != {ours}"]
    return differences(_comparable(judge, made_up), _comparable(ours, made_up), "sent", strict=True)


def _comparable(request: RecordedRequest, made_up: list[str]) -> dict[str, Any]:
    body: Any = json.loads(request.body) if request.body else None
    headers: dict[str, Any] = {
        name: value
        for name, value in ((name.lower(), value) for name, value in request.headers.items())
        if name not in _OWN_HEADERS and not name.startswith("amz-sdk-")
    }
    for name in made_up:
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


def differences(judge: Any, ours: Any, path: str, *, strict: bool = False) -> list[str]:
    """Where two values differ. `strict` also tells 2.0 from 2, as JSON does."""
    if isinstance(judge, Mapping) and isinstance(ours, Mapping):
        found = []
        for key in {**judge, **ours}:
            where = f"{path}.{key}"
            if key not in ours or key not in judge:
                found.append(f"{where}: only in {'the judge' if key in judge else 'ours'}")
            else:
                found += differences(judge[key], ours[key], where, strict=strict)
        return found
    if isinstance(judge, list) and isinstance(ours, list) and len(judge) == len(ours):
        pairs = enumerate(zip(judge, ours, strict=True))
        return [
            difference
            for index, (one, other) in pairs
            for difference in differences(one, other, f"{path}[{index}]", strict=strict)
        ]
    same = judge == ours and isinstance(judge, bool) == isinstance(ours, bool)
    same = same or (judge != judge and ours != ours)  # noqa: PLR0124  # only NaN differs from itself
    if strict:
        same = same and type(judge) is type(ours)
    if isinstance(judge, datetime) and isinstance(ours, datetime):
        same = same and judge.tzinfo is not None and ours.tzinfo is not None
    return [] if same else [f"{path}: {judge!r} != {ours!r}"]
