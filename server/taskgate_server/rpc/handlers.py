"""Every operation of an AWS service as an `Rpc`, from the descriptors of its contract.

One behaviour serves all unary operations: message -> boto3's parameters -> gateway -> message.
`streams` has those with a streamed payload.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, TypeAlias

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from taskgate_server.aws import model
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import Behaviour, CallContext, Rpc, parse_request
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.request_converter import RequestCompiler
from taskgate_server.rpc.response_converter import ResponseCompiler
from taskgate_server.rpc.streams import StreamLimits, download, upload
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.request import AwsRequest

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
"""Size of the cache of converted requests of one AWS service and target."""

MAX_CACHED_REQUEST_BYTES: Final = 1024

CONVERTED_BYTES: Final = 1500
CONVERTED_FACTOR: Final = 10
"""The memory of a converted request: a number of bytes, and a number for each byte of the message.
Measured with GetTask and SearchJobs."""

ConvertedRequests: TypeAlias = BoundedCache[tuple[str, bytes], AwsRequest]
"""Converted requests, by operation and request bytes."""


def load_contract(spec: ServiceSpec) -> ServiceDescriptor:
    """Return the descriptor of the service's generated contract. Imports its stubs."""
    contract = import_module(spec.contract_module)
    descriptor: ServiceDescriptor = contract.DESCRIPTOR.services_by_name[spec.grpc_service]
    return descriptor


def load_operations(spec: ServiceSpec) -> dict[str, Operation]:
    """Return every operation of the contract by name. Each is compiled on first use."""
    compilers = RequestCompiler(), ResponseCompiler()

    def find_model(name: str) -> model.OperationModel:
        return model.load_service(spec.name).operation_model(name)

    return {
        method.name: Operation(method, find_model, compilers)
        for method in load_contract(spec).methods
    }


def make_rpcs(
    spec: ServiceSpec, operations: dict[str, Operation], gateway: Gateway, limits: StreamLimits
) -> list[Rpc]:
    """Return the RPCs that serve the operations."""
    cached: ConvertedRequests = BoundedCache(MAX_CACHE_BYTES)

    def behaviour(method: MethodDescriptor, operation: Operation) -> Behaviour:
        if method.server_streaming:
            return download(operation, gateway, limits)
        if method.client_streaming:
            return upload(operation, gateway, limits)
        return _unary(operation, gateway, cached)

    return [
        Rpc(
            method=f"{method.containing_service.full_name}/{method.name}",
            request_class=operations[method.name].request_class,
            response_class=operations[method.name].response_class,
            behaviour=behaviour(method, operations[method.name]),
            takes_bytes=not method.client_streaming and not method.server_streaming,
            client_streams=method.client_streaming,
            server_streams=method.server_streaming,
        )
        for method in load_contract(spec).methods
    ]


def _unary(operation: Operation, gateway: Gateway, cached: ConvertedRequests) -> Behaviour:
    async def serve(request: bytes, call: CallContext) -> bytes:
        key = operation.name, request
        aws_request = cached.get(key)
        if aws_request is None:
            message = call.request.message or parse_request(operation.request_class, request)

            def convert() -> AwsRequest:
                return gateway.make_request(operation.name, operation.to_params(message))

            in_thread = call.request.in_thread
            aws_request = convert() if in_thread is None else await in_thread(convert)
            if aws_request.plan.is_shared and len(request) <= MAX_CACHED_REQUEST_BYTES:
                cached.put(key, aws_request, CONVERTED_BYTES + CONVERTED_FACTOR * len(request))
        aws_response = gateway.cached_response(aws_request, call.max_age, call.since_write)
        if aws_response is None:
            aws_response = await gateway.request(aws_request, CallOptions.of(call))
        call.record.aws_request_id, call.record.aws_span = (
            aws_response.request_id,
            aws_response.span,
        )
        call.record.observe_time = aws_response.observe_time
        response = aws_response.forms.get(operation.name)
        if response is None:
            response = operation.to_message(aws_response.value).SerializeToString()
            if aws_request.plan.is_shared:
                aws_response.forms[operation.name] = response
        return response

    return serve
