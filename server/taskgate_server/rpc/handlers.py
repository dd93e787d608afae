"""Every operation of an AWS service as an `Rpc`, taken from the descriptors of its contract.

One behaviour serves them all: message -> boto3's parameters -> the gateway -> message. Those with a
streamed payload are in `streams`.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module
from typing import TypeAlias

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from taskgate_server.aws import model
from taskgate_server.aws.services import ServiceSpec
from taskgate_server.calls import READ_MASK_KEY, Behaviour, Call, Rpc, parse_request
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.streams import StreamLimits, download, upload
from taskgate_server.rpc.to_message import AnswerCompiler
from taskgate_server.rpc.to_params import RequestCompiler
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.question import Question

KNOWN_QUESTIONS = 4096
"""Requests of one operation that need not be converted again; the oldest is forgotten first."""

KNOWN_BYTES = 1024
"""A longer request is not kept."""

Questions: TypeAlias = "OrderedDict[bytes, Question]"


def load_contract(spec: ServiceSpec) -> ServiceDescriptor:
    """The descriptor of the service's generated contract, whose stubs are imported here."""
    contract = import_module(spec.contract_module)
    descriptor: ServiceDescriptor = contract.DESCRIPTOR.services_by_name[spec.grpc_service]
    return descriptor


def load_operations(spec: ServiceSpec) -> dict[str, Operation]:
    """Every operation of the contract, by name; none is compiled yet."""
    compilers = RequestCompiler(), AnswerCompiler()

    def find_model(name: str) -> model.OperationModel:
        return model.load_service(spec.name).operation_model(name)

    return {
        method.name: Operation(method, find_model, compilers)
        for method in load_contract(spec).methods
    }


def make_rpcs(
    spec: ServiceSpec, operations: dict[str, Operation], gateway: Gateway, limits: StreamLimits
) -> list[Rpc]:
    """What serves the operations."""
    return [
        _make_rpc(method, operations[method.name], gateway, limits)
        for method in load_contract(spec).methods
    ]


def _make_rpc(
    method: MethodDescriptor, operation: Operation, gateway: Gateway, limits: StreamLimits
) -> Rpc:
    return Rpc(
        method=f"{method.containing_service.full_name}/{method.name}",
        request_class=operation.request_class,
        response_class=operation.response_class,
        behaviour=_behaviour(method, operation, gateway, limits),
        takes_bytes=not method.client_streaming and not method.server_streaming,
        client_streams=method.client_streaming,
        server_streams=method.server_streaming,
    )


def _behaviour(
    method: MethodDescriptor, operation: Operation, gateway: Gateway, limits: StreamLimits
) -> Behaviour:
    if method.server_streaming:
        return download(operation, gateway, limits)
    if method.client_streaming:
        return upload(operation, gateway, limits)
    return _unary(operation, gateway)


def _unary(operation: Operation, gateway: Gateway) -> Behaviour:
    known: Questions = OrderedDict()

    async def serve(request: bytes, call: Call) -> bytes:
        question = known.get(request)
        if question is None:
            message = call.message or parse_request(operation.request_class, request)
            question = gateway.question(operation.name, operation.to_params(message))
            _remember(question, request, known)
        if call.fields is not None:
            operation.check_mask(call.fields, READ_MASK_KEY)
        answer = gateway.kept(question, call.max_age)
        if answer is None:
            answer = await gateway.ask(question, CallOptions.of(call), fields=call.fields)
        call.aws_request_id, call.aws_span = answer.request_id, answer.span
        call.observe_time = answer.observe_time
        response = answer.forms.get(operation.name)
        if response is None:
            response = operation.to_message(answer.value).SerializeToString()
            if question.plan.is_shared:
                answer.forms[operation.name] = response
        return response

    return serve


def _remember(question: Question, request: bytes, known: Questions) -> None:
    """Keep what a request means: the same bytes need not be converted and checked again."""
    if question.plan.is_shared and len(request) <= KNOWN_BYTES:
        known[request] = question
        if len(known) > KNOWN_QUESTIONS:
            known.popitem(last=False)
