"""Asks with mutated requests, and holds what comes of it against the promise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from taskgate_server.aws import model
from tests.fuzz import replies, rules
from tests.fuzz.findings import Findings, TooSlowError, bounded, random_of, shortened
from tests.fuzz.inprocess import AwsResponse, Bench, Reply, Sent, Target
from tests.fuzz.replies import Unlike
from tests.fuzz.request_cases import Case, RequestCases, messages_in
from tests.support.contract import mirror

KIND = "request"


def run(bench: Bench, indexes: Iterable[int]) -> Findings:
    """The cases of these indexes, in process."""
    findings = Findings("requests in process")
    cases = RequestCases(bench.targets)
    for index in indexes:
        case = cases.case(index, random_of(KIND, index))
        told = describe(index, case)
        started = time.perf_counter()
        try:
            with bounded():
                outcome = _one(bench, case)
        except Unlike as unlike:
            outcome = "failed"
            findings.fail(f"{unlike}", told)
        except (Exception, TooSlowError) as error:  # noqa: BLE001  # that is what is looked for
            outcome = "failed"
            findings.fail(f"{type(error).__name__}: {error}"[:200], told)
        findings.counts[outcome] += 1
        findings.took(time.perf_counter() - started, told[:200])
    return findings


def describe(index: int, case: Case) -> str:
    """All that is needed to make a case again."""
    shown = ", ".join(shortened(each) for each in case.messages)
    return f"case {index} {case.target} by {'+'.join(case.how) or 'nothing'}: {shown}"


def parsed(target: Target, messages: Sequence[bytes]) -> list[Any] | None:
    """The messages, unless protobuf refuses one of them."""
    try:
        return [target.operation.request_class.FromString(data) for data in messages]
    except DecodeError:
        return None


def _one(bench: Bench, case: Case) -> str:
    target = case.target
    requests = parsed(target, case.messages)
    reply = bench.ask(target, case.messages, plain_answer(target))
    replies.check(reply, bench.log.bugs, bench.log.leaks)
    if requests is None:
        return undecodable(reply, bench.wire.sent)
    return judge(target, requests, reply, bench.wire.sent)


def undecodable(reply: Reply, sent: Sequence[Sent]) -> str:
    """How bytes ended that are no message."""
    if sent:
        raise Unlike("sent upstream what protobuf refuses")
    if reply.code is not grpc.StatusCode.INVALID_ARGUMENT:
        raise Unlike(f"{reply.code.name} for bytes that protobuf refuses: {reply.message[:100]}")
    replies.info_of(reply)
    return "refused: no message"


def plain_answer(target: Target) -> AwsResponse:
    """The least that AWS can answer."""
    return AwsResponse(status=target.model.http["responseCode"])


def judge(target: Target, requests: Sequence[Any], reply: Reply, sent: Sequence[Sent]) -> str:
    """How a call ended.

    Raises:
        Unlike: another status, or something sent that breaks the model.
    """
    if reply.code is grpc.StatusCode.INVALID_ARGUMENT:
        if sent:
            raise Unlike("refused after it was sent")
        if reply.message.startswith("request: breaks"):
            raise Unlike("refused by boto3's own checks, without the field")
        return "refused"
    if reply.code is not grpc.StatusCode.OK:
        raise Unlike(f"{reply.code.name}: {reply.message[:150]}")
    if len(sent) != 1:
        raise Unlike(f"{len(sent)} requests sent")
    words = {
        word
        for request in requests
        for each in messages_in(request)
        for word in getattr(each, "unrecognized_values", {}).values()
    }
    found = rules.faults(target.model, sent[0], _asked(target, requests), words)
    if found:
        raise Unlike(f"sent upstream: {found[0][:200]}")
    return "sent"


def _asked(target: Target, requests: Sequence[Any]) -> dict[str, Any]:
    """What the caller asked for, by the second bridge."""
    shape = target.model.input_shape
    if shape is None:
        return {}
    for each in messages_in(requests[0]):
        # The mirror has no word for a document with nothing set, which is null.
        if each.DESCRIPTOR.name == "Value" and each.WhichOneof("kind") is None:
            each.null_value = 0
    asked = mirror.read(requests[0], shape)
    payload = model.streaming_member(shape)
    if payload is not None:
        field = mirror.field_of(requests[0], payload).name
        asked[payload] = b"".join(getattr(each, field) for each in requests)
    return asked
