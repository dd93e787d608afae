"""Mutated requests: whatever the server accepts, the schema in the OpenAPI document allows."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from taskgate_server import errors
from tests.fuzz.findings import REQUESTS, random_for, shortened
from tests.fuzz.inprocess import InProcessServer
from tests.fuzz.request_cases import RequestCases
from tests.support.openapi_document import judge

MIN_ACCEPTED = 0.1
"""The share of the cases that must be valid, so that the test is one."""


def test_schema_allows_what_the_server_accepts(server: InProcessServer) -> None:
    cases = RequestCases(server.targets)
    accepted, faults = 0, []
    for index in range(REQUESTS):
        case = cases.case(index, random_for("schema", index))
        if case.target.method.client_streaming:
            continue
        try:
            message = case.target.operation.request_class.FromString(case.messages[0])
            case.target.operation.to_params(message)
            json_format.MessageToJson(message)
        except (errors.TaskgateError, json_format.Error, DecodeError, ValueError):
            continue
        accepted += 1
        found = judge().request_faults(case.target.method, message)
        faults += [f"{index} {case.target} {fault}: {shortened(case.how)}" for fault in found]
    assert faults == []
    assert accepted >= MIN_ACCEPTED * REQUESTS
