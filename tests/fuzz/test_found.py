"""The minimal form of each case that fuzzing has found."""

from __future__ import annotations

import gc
from functools import cache
from typing import Any

import grpc
import pytest

from tests.fuzz import request_run, response_checks, response_run, wire
from tests.fuzz.inprocess import HOST, MARKER, REQUEST_ID, AwsResponse, InProcessServer, Target
from tests.fuzz.response_cases import Case
from tests.support.running_server import running_server, settings_for

THROTTLED = b'{"__type": "ThrottlingException", "retryAfterSeconds": %s}'
REFUSED = b'{"__type": "ValidationException", "fieldList": %s}'
DEPTH = 200
DEEP = b"[" * DEPTH + b"]" * DEPTH


def error(body: bytes, **headers: str) -> AwsResponse:
    return response(body, status=400, **headers)


def response(body: bytes, status: int = 200, **headers: str) -> AwsResponse:
    named = {"x-amzn-RequestId": REQUEST_ID}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return AwsResponse(status=status, headers=list(named.items()), body=body)


RESPONSES = {
    # Errors whose body is JSON, but no object; or no UTF-8; or too deep.
    "error-null": error(b"null"),
    "error-list": error(b"[]"),
    "error-number": error(b"5"),
    "error-text": error(b'"x"'),
    "error-not-utf-8": error(b"\xff"),
    "redirect-not-utf-8": response(b"\xff", status=300),
    "redirect-null": response(b"null", status=300),
    "redirect-text": response(b'"x"', status=300),
    "error-too-deep": error(b"[" * 100_000),
    # Errors whose code or members are of other types.
    "code-number": error(b'{"__type": 5}'),
    "code-list": error(b'{"code": []}'),
    "resource-object": error(b'{"__type": "ResourceNotFoundException", "resourceId": {}}'),
    "resource-number": error(b'{"__type": "ResourceNotFoundException", "resourceType": 5}'),
    "quota-list": error(b'{"__type": "ThrottlingException", "quotaCode": [1]}'),
    "context-list": error(b'{"__type": "AccessDeniedException", "context": [1]}'),
    "fields-number": error(REFUSED % b"5"),
    "fields-of-null": error(REFUSED % b"[null]"),
    "fields-of-text": error(REFUSED % b'["x"]'),
    "field-name-number": error(REFUSED % b'[{"name": 5}]'),
    "field-name-list": error(REFUSED % b'[{"name": []}]'),
    "field-message-number": error(REFUSED % b'[{"message": 5}]'),
    # Texts that UTF-8 does not have.
    "message-half-a-pair": error(b'{"message": "\\ud800"}'),
    "code-half-a-pair": error(b'{"__type": "\\ud800"}'),
    "resource-half-a-pair": error(
        b'{"__type": "ResourceNotFoundException", "resourceId": "\\ud800"}'
    ),
    "context-half-a-pair": error(
        b'{"__type": "AccessDeniedException", "context": {"a": "\\ud800"}}'
    ),
    # Waits that no Duration has.
    "wait-infinite": error(b"{}", Retry_After="inf"),
    "wait-nan": error(b"{}", Retry_After="nan"),
    "wait-of-ages": error(THROTTLED % b"1", Retry_After="99999999999999999999"),
    "wait-past-doubles": error(THROTTLED % b"1", Retry_After="9" * 400),
    "wait-of-many-digits": error(THROTTLED % b"1", Retry_After="1" * 5_000),
    # Timestamps of other types, or of other years than protobuf has.
    "timestamp-list": response(b'{"createdAt": []}'),
    "timestamp-object": response(b'{"createdAt": {}}'),
    "timestamp-text-infinity": response(b'{"createdAt": "-Infinity"}'),
    "timestamp-boolean": response(b'{"createdAt": true}'),
    "timestamp-of-ages": response(b'{"createdAt": 1e15}'),
    # Request ids that gRPC's metadata cannot carry.
    "request-id-not-ascii": response(b"{}", x_amzn_RequestId="\xe9"),
    "request-id-tab": response(b"{}", x_amzn_RequestId="a\tb"),
    "request-id-long": response(b"{}", x_amzn_RequestId="x" * 10_000),
    "error-request-id-long": error(b"{}", x_amzn_RequestId="x" * 10_000),
    "error-code-long": error(b'{"__type": "%s"}' % (b"x" * 20_000)),
}


def target_of(server: InProcessServer, name: str) -> Target:
    return next(each for each in server.targets if str(each) == name)


@cache
def oracle() -> response_run.Boto3Oracle:
    return response_run.Boto3Oracle()


def check_response(server: InProcessServer, target: Target, aws_response: AwsResponse) -> str:
    case = Case(target=target, response=aws_response, how=[])
    response = server.call(target, response_run.requests_for(target), aws_response)
    response_checks.check(response, server.log.bugs, server.log.leaks)
    return response_run.compare(case, response, oracle().call(target, aws_response))


@pytest.mark.parametrize("name", RESPONSES)
def test_response(server: InProcessServer, name: str) -> None:
    check_response(server, target_of(server, "deadline.GetFarm"), RESPONSES[name])


@pytest.mark.parametrize("name", ["omics.GetRun", "omics.GetBatch"])
def test_deep_document_in_a_response(server: InProcessServer, name: str) -> None:
    target = target_of(server, name)
    body = {
        "omics.GetRun": b'{"parameters": %s}' % DEEP,
        "omics.GetBatch": b'{"defaultRunSetting": {"parameters": %s}}' % DEEP,
    }[name]
    check_response(server, target, response(body))


@pytest.mark.parametrize("token", ["x ", " x", " "])
def test_blanks_around_a_header_are_preserved(server: InProcessServer, token: str) -> None:
    """HTTP strips blanks, so a different token than the caller's would be sent."""
    target = target_of(server, "deadline.CreateFarm")
    request = target.operation.request_class(display_name="x", client_token=token)
    response = server.call(target, [request], request_run.minimal_response(target))
    response_checks.check(response, server.log.bugs, server.log.leaks)
    request_run.check_call(target, [request], response, server.wire.sent)


def test_error_of_an_empty_enum_value_names_the_field(server: InProcessServer) -> None:
    target = target_of(server, "omics.ListWorkflows")
    request = target.operation.request_class(unrecognized_values={"type": ""})
    names_its_field(server, target, request)


def test_enum_value_is_not_sent_for_a_list(server: InProcessServer) -> None:
    """The path of a list's enum value is `status[0]`; under `status` it would replace the list."""
    target = target_of(server, "omics.ListShares")
    request = target.operation.request_class(
        resource_owner=1, filter={"unrecognized_values": {"status": "NEW"}}
    )
    names_its_field(server, target, request)


def names_its_field(server: InProcessServer, target: Target, request: Any) -> None:
    response = server.call(target, [request], request_run.minimal_response(target))
    response_checks.check(response, server.log.bugs, server.log.leaks)
    assert response.code is grpc.StatusCode.INVALID_ARGUMENT
    assert request_run.check_call(target, [request], response, server.wire.sent) == "refused"


# --- Over the wire --------------------------------------------------------------------------------


HEAD = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n"
RAW = {
    "shorter-than-announced": ("omics.GetReadSet", HEAD + b"Content-Length: 9\r\n\r\n{}"),
    "chunks-cut": ("omics.GetReference", HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "headers-in-the-log": (
        "deadline.GetFarm",
        HEAD + f"a\0b: c\r\nx-other: {MARKER}\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
    ),
}


# As in `test_fuzz`.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", RAW)
def test_response_over_the_wire(server: InProcessServer, name: str) -> None:
    target = target_of(server, RAW[name][0])
    messages = [each.SerializeToString() for each in response_run.requests_for(target)]
    with (
        wire.Upstream() as upstream,
        running_server(settings_for(upstream.endpoint_url)) as address,
        wire.channel_to(str(address)) as channel,
    ):
        server.log.clear()
        upstream.response = RAW[name][1]
        response = wire.call(channel, target, messages)
    gc.collect()
    response_checks.check(response, server.log.bugs, server.log.leaks)


def test_upload_with_an_undecodable_second_message(server: InProcessServer) -> None:
    target = target_of(server, "omics.UploadReadSetPart")
    (first,) = response_run.requests_for(target)
    server.log.clear()
    settings = settings_for(f"http://{HOST}")  # nothing is to be sent there
    with (
        running_server(settings) as address,
        wire.channel_to(str(address)) as channel,
    ):
        response = wire.call(channel, target, [first.SerializeToString(), b"\xff"])
    assert response.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN), response
    assert not server.log.bugs
