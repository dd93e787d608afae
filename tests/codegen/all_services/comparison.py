"""Compares boto3 with the server's converters and AWS client, for operations of any service.

Both ends are canned: `Wire` records what a client sends, and returns a response that is synthesized
from the model. Equal are the requests, and the responses after a conversion to messages and back.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from taskgate_server.aws import model
from taskgate_server.config import AwsSettings
from taskgate_server.errors import TaskgateError
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.request_converter import RequestCompiler
from taskgate_server.rpc.response_converter import ResponseCompiler
from taskgate_server.rpc.validation import DEFAULT_LIMITS
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.factory import AwsClient
from taskgate_server.upstream.request import make_aws_request, plan_operation
from tests.support.aws_clients import answered_client
from tests.support.boto3_wire import HOST, Sent, Wire, to_aws_response
from tests.support.contract import mirror
from tests.support.contract.exchange import OWN_HEADERS, differences
from tests.support.contract.synthesis import FULL, MINIMAL, Synthesizer, Variant, WireResponse

VARIANTS = (FULL, MINIMAL, Variant(seed=3))
REGION = "us-west-2"
TOO_LARGE = f"has more than {DEFAULT_LIMITS.values} values"
TOKEN = uuid.UUID(int=1)
"""Replaces the idempotency tokens that botocore generates."""


@dataclass(slots=True)
class Result:
    """The outcome of a service's comparisons."""

    operations: int = 0
    requests: int = 0
    """Requests compared."""
    responses: int = 0
    """Responses compared."""
    number_texts: int = 0
    """Responses with "NaN" or "Infinity" in AWS's JSON protocol: boto3 returns the text, Taskgate
    the number, as boto3 does for the REST protocol."""
    too_large: int = 0
    """Requests with more values than the server validates."""
    refused_by_boto3: list[str] = field(default_factory=list)
    """Requests and responses that boto3 itself refuses."""
    unequal: list[str] = field(default_factory=list)


class Comparison:
    """Compares operations of one service.

    Args:
        spec: the service.
        contract: its generated gRPC service.
        service: its model.
    """

    def __init__(
        self, spec: ServiceSpec, contract: ServiceDescriptor, service: model.ServiceModel
    ) -> None:
        self._wire = Wire(host="")
        self._spec = spec
        self._service = service
        self._contract = contract
        self._compilers = RequestCompiler(), ResponseCompiler()
        self._ours = _our_client(spec, self._wire)
        self._judge: Any = _judge(spec.name, self._wire)
        self._methods: dict[str, Any] = {
            api: getattr(self._judge, name, None)  # absent for an event stream in the request
            for name, api in self._judge.meta.method_to_api_mapping.items()
        }

    def close(self) -> None:
        """Close the clients."""
        self._judge.close()
        self._ours.client.close()

    def compare(self, operation: model.OperationModel, result: Result) -> None:
        """Compare an operation, and add the outcome to the result."""
        method = self._contract.methods_by_name[operation.name]
        ours = Operation(method, self._service.operation_model, self._compilers)
        params_of, response_of = Synthesizer(wire=False), Synthesizer(wire=True)
        result.operations += 1
        for variant in VARIANTS:
            params = params_of.params(operation, variant)
            response = response_of.response(operation, variant)
            self._set_response(response)
            where = f"{operation.name}, seed {variant.seed}"
            try:
                expected, expected_sent = self._call_judge(operation, params)
            except (BotoCoreError, ResponseParserError) as error:
                result.refused_by_boto3.append(f"{where}: {type(error).__name__}: {error}")
                continue
            numbers = with_numbers(operation.output_shape, expected)
            result.number_texts += repr(numbers) != repr(expected)
            for kind, fault in self._faults(ours, params, numbers, expected_sent):
                if kind == "refused" and TOO_LARGE in fault:
                    result.too_large += 1
                    continue
                result.unequal.append(f"{where}: {kind}: {fault}")
            result.requests += 1
            result.responses += operation.output_shape is not None

    def _call_judge(
        self, operation: model.OperationModel, params: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Sent]:
        expected: dict[str, Any] = self._methods[operation.name](**_with_files(operation, params))
        del expected["ResponseMetadata"]
        if operation.has_streaming_output:
            member = _payload(operation.output_shape)
            expected[member] = expected[member].read()
        return expected, self._wire.sent.pop()

    def _faults(
        self,
        ours: Operation,
        params: Mapping[str, Any],
        expected: Mapping[str, Any],
        expected_sent: Sent,
    ) -> Iterator[tuple[str, str]]:
        message = ours.request_class()
        if ours.model.input_shape is not None:
            mirror.write(message, ours.model.input_shape, params)
        try:
            actual, sent = self._call_ours(ours, message, params)
        except TaskgateError as error:
            yield "refused", f"{error.message} {error.details}"
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a fault
            yield "failed", f"{type(error).__name__}: {error}"
            return
        one, other = (_comparable(each, ours.model) for each in (expected_sent, sent))
        for fault in differences(one, other, "sent"):
            yield "request", fault
        if ours.model.output_shape is not None:
            mirrored = mirror.read(actual, ours.model.output_shape)
            for fault in differences(expected, mirrored, "response"):
                yield "response", fault

    def _call_ours(
        self, ours: Operation, message: Message, params: Mapping[str, Any]
    ) -> tuple[Message, Sent]:
        plan = plan_operation(self._spec, ours.name)
        request = make_aws_request(ours.name, ours.to_params(message), plan)
        converted = dict(request.params)
        streamed = model.streaming_member(ours.model.input_shape)
        if streamed is not None:  # as `rpc.streams.upload` does
            converted[streamed] = BytesIO(params.get(streamed, b""))
        value = dict(asyncio.run(self._ours.call(ours.name, converted)).value)
        streamed = model.streaming_member(ours.model.output_shape)
        if streamed is None:
            return ours.to_message(value), self._wire.sent.pop()
        content = value.pop(streamed).read()  # as `rpc.streams.download` does
        response: Any = ours.to_message(value)
        setattr(response, mirror.field_of(response, streamed).name, content)
        return response, self._wire.sent.pop()

    def _set_response(self, response: WireResponse) -> None:
        body = response.body
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._wire.response = to_aws_response(response, data)
        self._wire.sent.clear()


def with_numbers(shape: Any, value: Any) -> Any:
    """Return a value of boto3 with numbers instead of the texts "NaN" and "Infinity"."""
    if shape is None or value is None or model.is_document(shape):
        return value
    if isinstance(shape, model.StructureShape):
        of = {**shape.members, "SDK_UNKNOWN_MEMBER": None}
        return {name: with_numbers(of[name], each) for name, each in value.items()}
    if isinstance(shape, model.ListShape):
        return [with_numbers(shape.member, each) for each in value]
    if isinstance(shape, model.MapShape):
        return {key: with_numbers(shape.value, each) for key, each in value.items()}
    return float(value) if shape.type_name in ("double", "float") else value


def _with_files(operation: model.OperationModel, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with the payload as a file, if it is a stream."""
    streamed = model.streaming_member(operation.input_shape)
    return {
        name: BytesIO(value) if name == streamed else value for name, value in params.items()
    } | ({streamed: BytesIO()} if streamed is not None and streamed not in params else {})


def _payload(shape: model.StructureShape | None) -> str:
    assert shape is not None
    return str(shape.serialization["payload"])


def _comparable(sent: Sent, operation: model.OperationModel) -> dict[str, Any]:
    path, _, query = sent.target.partition("?")
    headers: dict[str, Any] = {name.lower(): value for name, value in sent.headers.items()}
    for name in _json_headers(operation) & headers.keys():  # the order of keys means nothing
        headers[name] = json.loads(base64.b64decode(headers[name]))
    try:
        body: Any = json.loads(sent.body)
    except ValueError:
        is_form = "x-www-form-urlencoded" in headers.get("content-type", "")
        body = sorted(sent.body.split(b"&")) if is_form else sent.body
    return {
        "method": sent.method,
        "host": sent.host,
        "path": path,
        # boto3 writes the query in the order of its caller's keywords, which means nothing.
        "query": sorted(query.split("&")),
        "headers": {
            name: value
            for name, value in headers.items()
            if name not in OWN_HEADERS and not name.startswith("amz-sdk-")
        },
        "body": body,
    }


def _json_headers(operation: model.OperationModel) -> set[str]:
    shape = operation.input_shape
    return {
        str(member.serialization["name"]).lower()
        for member in (shape.members.values() if shape is not None else ())
        if model.is_document(member) and "location" in member.serialization
    }


def _judge(name: str, wire: Wire) -> Any:
    session = boto3.Session(region_name=REGION)
    client: Any = session.client(
        name,  # type: ignore[call-overload]  # boto3-stubs has the literal names of few services
        endpoint_url=f"http://{HOST}",
        config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send", wire.before_send)
    return client


def _our_client(spec: ServiceSpec, wire: Wire) -> AwsClient:
    settings = AwsSettings(region=REGION, endpoint_url=f"http://{HOST}")
    return answered_client(spec, settings, wire.before_send)


@contextmanager
def judged_environment() -> Iterator[None]:
    """Give both clients the same credentials and tokens, and nothing of this machine."""
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    with patch.dict(os.environ, environment), patch("uuid.uuid4", return_value=TOKEN):
        yield
