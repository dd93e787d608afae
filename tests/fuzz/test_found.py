"""The least of each case that fuzzing has found."""

from __future__ import annotations

import gc
from functools import cache
from typing import Any

import grpc
import pytest

from tests.fuzz import answer_run, replies, request_run, wire
from tests.fuzz.answer_cases import Case
from tests.fuzz.inprocess import HOST, MARKER, REQUEST_ID, AwsResponse, Bench, Target
from tests.support.running_server import running_server, settings_for

THROTTLED = b'{"__type": "ThrottlingException", "retryAfterSeconds": %s}'
REFUSED = b'{"__type": "ValidationException", "fieldList": %s}'
DEPTH = 200
DEEP = b"[" * DEPTH + b"]" * DEPTH


def error(body: bytes, **headers: str) -> AwsResponse:
    return answer(body, status=400, **headers)


def answer(body: bytes, status: int = 200, **headers: str) -> AwsResponse:
    named = {"x-amzn-RequestId": REQUEST_ID}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return AwsResponse(status=status, headers=list(named.items()), body=body)


ANSWERS = {
    # Errors whose body is JSON, but no object; or no UTF-8; or too deep.
    "error-null": error(b"null"),
    "error-list": error(b"[]"),
    "error-number": error(b"5"),
    "error-text": error(b'"x"'),
    "error-not-utf-8": error(b"\xff"),
    "redirect-not-utf-8": answer(b"\xff", status=300),
    "redirect-null": answer(b"null", status=300),
    "redirect-text": answer(b'"x"', status=300),
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
    "timestamp-list": answer(b'{"createdAt": []}'),
    "timestamp-object": answer(b'{"createdAt": {}}'),
    "timestamp-text-infinity": answer(b'{"createdAt": "-Infinity"}'),
    "timestamp-boolean": answer(b'{"createdAt": true}'),
    "timestamp-of-ages": answer(b'{"createdAt": 1e15}'),
    # Request ids that gRPC's metadata cannot carry.
    "request-id-not-ascii": answer(b"{}", x_amzn_RequestId="\xe9"),
    "request-id-tab": answer(b"{}", x_amzn_RequestId="a\tb"),
    "request-id-long": answer(b"{}", x_amzn_RequestId="x" * 10_000),
    "error-request-id-long": error(b"{}", x_amzn_RequestId="x" * 10_000),
    "error-code-long": error(b'{"__type": "%s"}' % (b"x" * 20_000)),
}


def target_of(bench: Bench, name: str) -> Target:
    return next(each for each in bench.targets if str(each) == name)


@cache
def judge() -> answer_run.Judge:
    return answer_run.Judge()


def held(bench: Bench, target: Target, answer: AwsResponse) -> str:
    case = Case(target=target, answer=answer, how=[])
    reply = bench.ask(target, answer_run.requests_of(target), answer)
    replies.check(reply, bench.log.bugs, bench.log.leaks)
    return answer_run.compare(case, reply, judge().ask(target, answer))


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(bench: Bench, name: str) -> None:
    held(bench, target_of(bench, "deadline.GetFarm"), ANSWERS[name])


@pytest.mark.parametrize("name", ["omics.GetRun", "omics.GetBatch"])
def test_deep_document_in_an_answer(bench: Bench, name: str) -> None:
    target = target_of(bench, name)
    body = {
        "omics.GetRun": b'{"parameters": %s}' % DEEP,
        "omics.GetBatch": b'{"defaultRunSetting": {"parameters": %s}}' % DEEP,
    }[name]
    held(bench, target, answer(body))


@pytest.mark.parametrize("token", ["x ", " x", " "])
def test_blanks_around_a_header_are_not_lost(bench: Bench, token: str) -> None:
    """HTTP drops them: another token would be sent than the caller's."""
    target = target_of(bench, "deadline.CreateFarm")
    request = target.operation.request_class(display_name="x", client_token=token)
    reply = bench.ask(target, [request], request_run.plain_answer(target))
    replies.check(reply, bench.log.bugs, bench.log.leaks)
    request_run.judge(target, [request], reply, bench.wire.sent)


def test_refusal_of_an_empty_enum_word_names_the_field(bench: Bench) -> None:
    target = target_of(bench, "omics.ListWorkflows")
    request = target.operation.request_class(unrecognized_values={"type": ""})
    names_its_field(bench, target, request)


def test_an_enum_word_is_no_list(bench: Bench) -> None:
    """The path of a list's word is `status[0]`; under `status` it would be sent for the list."""
    target = target_of(bench, "omics.ListShares")
    request = target.operation.request_class(
        resource_owner=1, filter={"unrecognized_values": {"status": "NEW"}}
    )
    names_its_field(bench, target, request)


def names_its_field(bench: Bench, target: Target, request: Any) -> None:
    reply = bench.ask(target, [request], request_run.plain_answer(target))
    replies.check(reply, bench.log.bugs, bench.log.leaks)
    assert reply.code is grpc.StatusCode.INVALID_ARGUMENT
    assert request_run.judge(target, [request], reply, bench.wire.sent) == "refused"


# --- Over the wire --------------------------------------------------------------------------------


HEAD = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n"
RAW = {
    "shorter-than-told": ("omics.GetReadSet", HEAD + b"Content-Length: 9\r\n\r\n{}"),
    "chunks-cut": ("omics.GetReference", HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "headers-in-the-log": (
        "deadline.GetFarm",
        HEAD + f"a\0b: c\r\nx-other: {MARKER}\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
    ),
}


# As in `test_fuzz`.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", RAW)
def test_answer_over_the_wire(bench: Bench, name: str) -> None:
    target = target_of(bench, RAW[name][0])
    messages = [each.SerializeToString() for each in answer_run.requests_of(target)]
    with (
        wire.Upstream() as upstream,
        running_server(settings_for(upstream.endpoint_url)) as address,
        wire.channel_to(str(address)) as channel,
    ):
        bench.log.clear()
        upstream.answer = RAW[name][1]
        reply = wire.ask(channel, target, messages)
    gc.collect()
    replies.check(reply, bench.log.bugs, bench.log.leaks)


def test_upload_whose_second_message_is_none(bench: Bench) -> None:
    target = target_of(bench, "omics.UploadReadSetPart")
    (first,) = answer_run.requests_of(target)
    bench.log.clear()
    settings = settings_for(f"http://{HOST}")  # nothing is to be sent there
    with (
        running_server(settings) as address,
        wire.channel_to(str(address)) as channel,
    ):
        reply = wire.ask(channel, target, [first.SerializeToString(), b"\xff"])
    assert reply.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN), reply
    assert not bench.log.bugs
