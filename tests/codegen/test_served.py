"""Every version of the toy's contract is served: the engine finds its fields, words and wrappers.

botocore's own parser is the judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.parsers import create_parser
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor

from taskgate_server.aws import model, naming
from taskgate_server.aws.fitting import Fitter
from taskgate_server.rpc.request_converter import RequestCompiler
from taskgate_server.rpc.response_converter import ResponseCompiler
from taskgate_server.rpc.validation import ROOT, Validation
from tests.codegen.buf import Module
from tests.codegen.toy import SPEC, Version, versions
from tests.support.contract import values
from tests.support.contract.exchange import differences
from tests.support.contract.synthesis import FULL, RANDOM, Synthesizer, Variant

OPERATION = "GetThing"
VARIANTS = (FULL, *RANDOM, *(Variant(seed=seed, members="all") for seed in range(100, 120)))


def message_type(image: bytes, version: str, name: str) -> Descriptor:
    """From the pool of all stubs, where the engine's `Value` is; so each version has a package."""
    (file,) = (
        file
        for file in descriptor_pb2.FileDescriptorSet.FromString(image).file
        if file.package == SPEC.proto_package
    )
    package = f"taskgate.toy_{version.replace('-', '_')}.v1"
    text = json_format.MessageToJson(file).replace(SPEC.proto_package, package)
    pool = descriptor_pool.Default()
    pool.Add(json_format.Parse(text.replace(file.name, version), type(file)()))
    found: Descriptor = pool.FindMessageTypeByName(f"{package}.{name}")
    return found


def parsed(shape: model.StructureShape, body: Mapping[str, Any]) -> dict[str, Any]:
    response = {"status_code": 200, "headers": {}, "body": json.dumps(body).encode()}
    result: dict[str, Any] = create_parser("rest-json").parse(response, shape)
    del result["ResponseMetadata"]
    return result


@pytest.mark.parametrize("version", versions(), ids=lambda version: version.name)
def test_response_survives_a_round_trip(
    version: Version, modules: dict[str, Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A request may not have more digits than boto3's microseconds.
    monkeypatch.setattr(values, "TIMESTAMP_TEXTS", ("2026-03-02T09:30:15.5Z", 1772443815))
    operation = version.service.operation_model(OPERATION)
    shape = operation.output_shape
    assert shape is not None
    descriptor = message_type(modules[version.name].image(), version.name, f"{OPERATION}Response")
    fit = Fitter().compile(shape)
    to_fields = ResponseCompiler().structure(shape, descriptor)
    to_params = RequestCompiler().structure(shape, descriptor)
    synthesizer = Synthesizer(wire=True)
    for variant in VARIANTS:
        body = synthesizer.response(operation, variant).body
        assert isinstance(body, dict)
        judge = parsed(shape, body)

        message = message_factory.GetMessageClass(descriptor)(**to_fields(fit(body, [])))

        # Answers need not keep to what the model demands of requests.
        params = to_params.convert(message, ROOT, Validation())
        assert differences(judge, params, "answer") == []
        assert naming.UNRECOGNIZED_VALUES not in str(message)
    assert synthesizer.everything_used
