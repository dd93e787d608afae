"""Performs calls with mutated requests and checks their results."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from taskgate_server.aws import model
from tests.fuzz import response_checks, rules
from tests.fuzz.findings import Findings, TooSlowError, random_for, shortened, time_limit
from tests.fuzz.inprocess import GrpcResponse, InProcessServer, Target
from tests.fuzz.request_cases import Case, RequestCases, messages_in
from tests.fuzz.response_checks import Mismatch
from tests.support.boto3_wire import AwsResponse, Sent
from tests.support.contract import mirror

KIND = "request"


def run(server: InProcessServer, indexes: Iterable[int]) -> Findings:
    """Run the cases of some indexes in process."""
    findings = Findings("requests in process")
    cases = RequestCases(server.targets)
    for index in indexes:
        case = cases.case(index, random_for(KIND, index))
        description = describe(index, case)
        started = time.perf_counter()
        try:
            with time_limit():
                outcome = _one(server, case)
        except Mismatch as mismatch:
            outcome = "failed"
            findings.fail(f"{mismatch}", description)
        except (Exception, TooSlowError) as error:  # noqa: BLE001  # that is what is looked for
            outcome = "failed"
            findings.fail(f"{type(error).__name__}: {error}"[:200], description)
        findings.counts[outcome] += 1
        findings.record_duration(time.perf_counter() - started, description[:200])
    return findings


def describe(index: int, case: Case) -> str:
    """Return all that is needed to repeat a case."""
    shown = ", ".join(shortened(each) for each in case.messages)
    return f"case {index} {case.target} by {'+'.join(case.how) or 'nothing'}: {shown}"


def parsed(target: Target, messages: Sequence[bytes]) -> list[Any] | None:
    """Parse the messages, or return None if protobuf rejects one."""
    try:
        return [target.operation.request_class.FromString(data) for data in messages]
    except DecodeError:
        return None


def _one(server: InProcessServer, case: Case) -> str:
    target = case.target
    requests = parsed(target, case.messages)
    response = server.call(target, case.messages, minimal_response(target))
    response_checks.check(response, server.log.bugs, server.log.leaks)
    if requests is None:
        return undecodable(response, server.wire.sent)
    return check_call(target, requests, response, server.wire.sent)


def undecodable(response: GrpcResponse, sent: Sequence[Sent]) -> str:
    """Check the outcome of bytes that are not a message."""
    if sent:
        raise Mismatch("sent upstream what protobuf refuses")
    if response.code is not grpc.StatusCode.INVALID_ARGUMENT:
        raise Mismatch(
            f"{response.code.name} for bytes that protobuf refuses: {response.message[:100]}"
        )
    response_checks.info_of(response)
    return "refused: no message"


def minimal_response(target: Target) -> AwsResponse:
    """Return AWS's smallest successful response."""
    return AwsResponse(status=target.model.http["responseCode"])


def check_call(
    target: Target, requests: Sequence[Any], response: GrpcResponse, sent: Sequence[Sent]
) -> str:
    """Return the outcome of a call.

    Raises:
        Mismatch: the status is wrong, or an invalid request was sent to AWS.
    """
    if response.code is grpc.StatusCode.INVALID_ARGUMENT:
        if sent:
            raise Mismatch("refused after it was sent")
        if response.message.startswith("request: breaks"):
            raise Mismatch("refused by boto3's own checks, without the field")
        return "refused"
    if response.code is not grpc.StatusCode.OK:
        raise Mismatch(f"{response.code.name}: {response.message[:150]}")
    if len(sent) != 1:
        raise Mismatch(f"{len(sent)} requests sent")
    words = {
        word
        for request in requests
        for each in messages_in(request)
        for word in getattr(each, "unrecognized_values", {}).values()
    }
    found = rules.faults(target.model, sent[0], _expected_params(target, requests), words)
    if found:
        raise Mismatch(f"sent upstream: {found[0][:200]}")
    return "sent"


def _expected_params(target: Target, requests: Sequence[Any]) -> dict[str, Any]:
    """Return the caller's params, converted by `mirror`."""
    shape = target.model.input_shape
    if shape is None:
        return {}
    for each in messages_in(requests[0]):
        # The mirror has no word for a document with nothing set, which is null.
        if each.DESCRIPTOR.name == "Value" and each.WhichOneof("kind") is None:
            each.null_value = 0
    expected = mirror.read(requests[0], shape)
    payload = model.streaming_member(shape)
    if payload is not None:
        field = mirror.field_of(requests[0], payload).name
        expected[payload] = b"".join(getattr(each, field) for each in requests)
    return expected
