"""botocore's test cases of AWS's JSON protocols: requests and responses are equal to botocore's.

Each suite of cases has a model with one operation. Its contract is generated and compiled, as for
an AWS service; then botocore's serializer and parser are the judges.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import ResponseParserError, ResponseParserFactory
from botocore.response import StreamingBody
from botocore.serialize import create_serializer
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from grpc_tools import protoc

from taskgate_server.aws import model
from taskgate_server.aws.fitting import Fitter
from taskgate_server.codegen.__main__ import generate
from taskgate_server.errors import TaskgateError
from taskgate_server.rpc.converter import Operation
from taskgate_server.rpc.request_converter import RequestCompiler
from taskgate_server.rpc.response_converter import ResponseCompiler
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.responses import parse_body
from tests.support.aws_clients import unconnected_client
from tests.support.contract import mirror
from tests.support.contract.exchange import differences

FOLDER: Final = Path(__file__).parents[2] / "third_party/botocore/protocols"
PROTOCOLS: Final = ("rest-json", "json")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_NOT_FINITE: Final = [
    f"{prefix}Supports{number}Float{place}"
    for number in ("NaN", "Infinity", "NegativeInfinity")
    for prefix, place in (
        ("RestJson", "QueryValues"),
        ("RestJson", "Labels"),
        ("RestJson", "HeaderInputs"),
        ("RestJson", "Inputs"),
        ("AwsJson11", "Inputs"),
    )
]
UNEQUAL_REQUESTS: Final[dict[str, str]] = {
    **dict.fromkeys(_NOT_FINITE, "Taskgate refuses NaN and infinity in requests"),
    "RestJsonAllQueryStringTypes": (
        "a map of query parameters has the name of another one, and the order decides"
    ),
    "RestJsonHttpRequestWithGreedyLabelInPath": "a slash in a label of one segment is refused",
    "RestJsonHttpRequestLabelEscaping": "a slash in a label of one segment is refused",
    "AwsJson11StructuresDontSerializeNullValues": "botocore sends null, messages have no null",
}
"""Case -> why the request is not equal."""

_NUMBER_TEXTS: Final = [
    f"AwsJson11Supports{number}FloatInputs" for number in ("NaN", "Infinity", "NegativeInfinity")
]
_ERROR_TYPES: Final = [
    f"RestJsonFooErrorUsingXAmznErrorType{more}" for more in ("", "WithUri", "WithUriAndNamespace")
]
UNEQUAL_RESPONSES: Final[dict[str, str]] = {
    **dict.fromkeys(_NUMBER_TEXTS, "botocore returns the text, Taskgate the number"),
    **dict.fromkeys(
        _ERROR_TYPES, "botocore ignores the header of an error without a body, Taskgate reads it"
    ),
    "RestJsonHttpPayloadWithUnsetUnion": "botocore rejects the response",
    "RestJsonDeserializesDenseSetMapAndSkipsNull": "botocore fails for null in a map of lists",
    "RestJsonInputAndOutputWithTimestampHeaders": (
        "botocore splits HTTP dates at their commas, and parses the parts"
    ),
}
"""Case -> why the response is not equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case."""

    id: str
    spec: ServiceSpec
    """The service of the suite."""
    suite: dict[str, Any]
    case: dict[str, Any]

    @property
    def service(self) -> model.ServiceModel:
        """The model of the service, with the operations of the whole suite."""
        given = [each["given"] for each in (*self.suite["cases"], self.case)]
        description = {
            "metadata": {
                **self.suite["metadata"],
                "uid": self.spec.name,
                "serviceId": self.spec.title,
                "signatureVersion": "v4",
            },
            "shapes": self.suite["shapes"],
            "operations": {each["name"]: each for each in given},
        }
        return model.ServiceModel(description, self.spec.name)

    @property
    def operation(self) -> model.OperationModel:
        """The model of the operation."""
        return self.service.operation_model(self.case["given"]["name"])


def load(direction: str) -> list[Case]:
    """Return the cases of a direction: `input` or `output`."""
    return [
        Case(
            id=case["id"],
            spec=ServiceSpec(
                name=f"{protocol}-{direction}-{number}", title="Suite", grpc_service="Suite"
            ),
            suite=suite,
            case=case,
        )
        for protocol in PROTOCOLS
        for number, suite in enumerate(_suites(direction, protocol))
        for case in suite["cases"]
    ]


def _suites(direction: str, protocol: str) -> list[dict[str, Any]]:
    suites: list[dict[str, Any]] = json.loads((FOLDER / direction / f"{protocol}.json").read_text())
    return suites


INPUTS: Final = load("input")
OUTPUTS: Final = load("output")


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ServiceDescriptor]:
    """Return the gRPC service of each suite's contract, by the name of the service."""
    root = tmp_path_factory.mktemp("suite")
    suites = {case.spec.name: case for case in (*INPUTS, *OUTPUTS)}
    protos = [_write_proto(case, root) for case in suites.values()]
    bundled = resources.files("grpc_tools") / "_proto"
    image = root / "image.binpb"
    arguments = ["protoc", f"-I{root}", f"-I{bundled}", f"--descriptor_set_out={image}"]
    assert protoc.main([*arguments, *map(str, protos)]) == 0
    pool = descriptor_pool.Default()
    for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file:
        pool.Add(file)
    return {
        name: pool.FindServiceByName(case.spec.grpc_service_full_name)
        for name, case in suites.items()
    }


def _write_proto(case: Case, root: Path) -> Path:
    files = generate(case.spec, root, case.service)
    proto = next(path for path in files if path.suffix == ".proto")
    proto.parent.mkdir(parents=True)
    proto.write_text(files[proto])
    return proto


def converter(case: Case, contracts: Mapping[str, ServiceDescriptor]) -> Operation:
    """Return the server's conversion of the case's operation."""
    method = contracts[case.spec.name].methods_by_name[case.operation.name]
    return Operation(method, case.service.operation_model, (RequestCompiler(), ResponseCompiler()))


def check(faults: list[str], case: Case, unequal: Mapping[str, str]) -> None:
    """Check that a case is equal, or listed as unequal."""
    if case.id in unequal:
        assert faults, f"{case.id} is equal: remove it from the list"
    else:
        assert faults == []


@pytest.mark.parametrize("case", INPUTS, ids=lambda case: case.id)
def test_request_is_equal(case: Case, contracts: Mapping[str, ServiceDescriptor]) -> None:
    ours = converter(case, contracts)
    params = {}
    message = ours.request_class()
    if case.operation.input_shape is not None:
        params = as_boto3(case.operation.input_shape, case.case["params"])
        # A message has no null, which botocore does not send either.
        present = {name: value for name, value in params.items() if value is not None}
        mirror.write(message, case.operation.input_shape, present)
    serializer: Any = create_serializer(case.service.metadata["protocol"], include_validation=False)
    expected = serializer.serialize_to_request(params, case.operation)
    try:
        converted = ours.to_params(message)
    except TaskgateError as error:
        check([error.message], case, UNEQUAL_REQUESTS)
        return
    streamed = model.streaming_member(case.operation.input_shape)
    if streamed is not None and streamed in params:  # it is sent as a stream
        converted[streamed] = params[streamed]
    actual = serializer.serialize_to_request(converted, case.operation)
    check(differences(with_json(expected), with_json(actual), "request"), case, UNEQUAL_REQUESTS)


@pytest.mark.parametrize("case", OUTPUTS, ids=lambda case: case.id)
def test_response_is_equal(case: Case, contracts: Mapping[str, ServiceDescriptor]) -> None:
    try:
        expected = parsed(case)
    except (ResponseParserError, TypeError) as error:
        expected = {"Error": {"Code": str(error)}}
    canned: dict[str, Any] = {}
    actual = {**parsed(case, canned), **canned}
    if "Error" not in actual:
        actual = converted(case, contracts, actual)
    if "Error" in expected:
        expected, actual = (
            {"Code": each.get("Error", {}).get("Code")} for each in (expected, actual)
        )
    check(differences(expected, actual, "response"), case, UNEQUAL_RESPONSES)


def converted(
    case: Case, contracts: Mapping[str, ServiceDescriptor], response: dict[str, Any]
) -> dict[str, Any]:
    """Return botocore's parsed response after its way through the AWS client and the message."""
    operation = case.operation
    shape = operation.output_shape
    ours = converter(case, contracts)
    client = unconnected_client(
        client=SimpleNamespace(call=lambda: dict(response)),
        methods={operation.name: "call"},
        fit_of=lambda _: Fitter().compile(shape) if shape is not None else None,
    )
    value = asyncio.run(client.call(operation.name, {})).value
    streamed = model.streaming_member(operation.output_shape)
    content = value.pop(streamed).read() if streamed is not None else b""
    message: Any = ours.to_message(value)
    if operation.output_shape is None:
        return {}
    if streamed is not None:
        setattr(message, mirror.field_of(message, streamed).name, content)
    return mirror.read(message, operation.output_shape)


def parsed(case: Case, canned: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what botocore's parser makes of the response, without the metadata.

    Args:
        case: has the response.
        canned: the part that the server's hook reads, which is added to it; None without the hook.
    """
    operation = case.operation
    response = case.case["response"]
    body: Any = response.get("body", "").encode()
    if operation.has_streaming_output and "error" not in case.case:
        body = StreamingBody(BytesIO(body), len(body))
    whole = {
        "status_code": response["status_code"],
        "headers": HeadersDict(response.get("headers", {})),
        "body": body,
        "context": {"operation_name": operation.name},
    }
    if canned is not None:
        parse_body(operation, whole, canned)
    factory = ResponseParserFactory()
    if canned is not None:
        factory.set_parser_defaults(timestamp_parser=lambda text: text)  # as `make_client` does
    parser: Any = factory.create_parser(case.service.metadata["protocol"])
    found: dict[str, Any] = parser.parse(whole, operation.output_shape)
    del found["ResponseMetadata"]
    return {
        name: member.read() if isinstance(member, StreamingBody) and canned is None else member
        for name, member in found.items()
    }


def with_json(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with the JSON of its body, so that the order of keys means nothing."""
    try:
        return {**request, "body": json.loads(request["body"])}
    except ValueError:
        return dict(request)


def as_boto3(shape: Any, value: Any) -> Any:
    """Return a value of the suite, which is JSON, as boto3 takes it."""
    if value is None or model.is_document(shape):
        return value
    if isinstance(shape, model.StructureShape):
        members = shape.members
        return {name: as_boto3(members[name], each) for name, each in value.items()}
    if isinstance(shape, model.ListShape):
        return [as_boto3(shape.member, each) for each in value]
    if isinstance(shape, model.MapShape):
        return {key: as_boto3(shape.value, each) for key, each in value.items()}
    return _LEAVES.get(shape.type_name, lambda leaf: leaf)(value)


_LEAVES: Final[dict[str, Any]] = {
    "blob": lambda value: value.encode(),
    "double": float,
    "float": float,
    "timestamp": lambda value: EPOCH + timedelta(seconds=value),
}
