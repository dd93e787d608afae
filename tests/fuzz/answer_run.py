"""Gives mutated answers to valid requests, and holds the replies against boto3's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import boto3
import grpc
from botocore.config import Config
from botocore.exceptions import ClientError

from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from tests.fuzz import fits, replies
from tests.fuzz.answer_cases import AnswerCases, Case
from tests.fuzz.findings import Findings, TooSlowError, bounded, random_of, shortened
from tests.fuzz.inprocess import HOST, AwsResponse, Bench, Reply, Target, Wire
from tests.fuzz.replies import Unlike
from tests.fuzz.request_cases import messages_in
from tests.support.contract import mirror
from tests.support.contract.exchange import differences
from tests.support.contract.synthesis import MINIMAL, Synthesizer
from tests.support.running_server import REGION

KIND = "answer"
_FIRST_MOMENT, _AFTER_LAST_MOMENT = -62_135_596_800, 253_402_300_800


class Judge:
    """Plain boto3, given the same answers."""

    def __init__(self) -> None:
        self._wire = Wire()
        session: Any = boto3.Session(region_name=REGION)
        config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
        self._clients: dict[str, Any] = {}
        for spec in SERVICES:
            client = session.client(spec.name, endpoint_url=f"http://{HOST}", config=config)
            hook: Any = self._wire.before_send
            client.meta.events.register("before-send", hook)
            self._clients[spec.name] = client

    def ask(self, target: Target, answer: AwsResponse) -> dict[str, Any] | Exception:
        """What boto3 makes of an answer."""
        self._wire.answer = answer
        self._wire.sent.clear()
        client = self._clients[target.spec.name]
        methods = {api: name for name, api in client.meta.method_to_api_mapping.items()}
        params = Synthesizer(wire=False).params(target.model, MINIMAL)
        try:
            result: dict[str, Any] = getattr(client, methods[target.operation.name])(**params)
            result.pop("ResponseMetadata", None)
            payload = model.streaming_member(target.model.output_shape)
            if payload is not None:
                result[payload] = result[payload].read()
        except Exception as error:  # noqa: BLE001  # boto3 raises all kinds for odd answers
            return error
        return result


def run(bench: Bench, indexes: Iterable[int]) -> Findings:
    """The cases of these indexes, in process."""
    findings = Findings("answers in process")
    cases, judge = AnswerCases(bench.targets), Judge()
    for index in indexes:
        case = cases.case(index, random_of(KIND, index))
        told = describe(index, case)
        started = time.perf_counter()
        try:
            with bounded():
                reply = _ask(bench, case)
            findings.took(time.perf_counter() - started, told[:200])
            outcome = compare(case, reply, judge.ask(case.target, case.answer))
        except Unlike as unlike:
            outcome = "failed"
            findings.fail(f"{unlike}", told)
        except (Exception, TooSlowError) as error:  # noqa: BLE001  # that is what is looked for
            outcome = "failed"
            findings.fail(f"{type(error).__name__}: {error}"[:200], told)
        findings.counts[outcome] += 1
    return findings


def describe(index: int, case: Case) -> str:
    """All that is needed to make a case again."""
    answer = case.answer
    headers = {name: shortened(value, 80) for name, value in answer.headers}
    return (
        f"case {index} {case.target} by {'+'.join(case.how) or 'nothing'}:"
        f" {answer.status} {headers} {shortened(answer.body)}"
    )


def requests_of(target: Target) -> list[Any]:
    """A valid request."""
    message = target.operation.request_class()
    shape = target.model.input_shape
    if shape is not None:
        mirror.write(message, shape, Synthesizer(wire=False).params(target.model, MINIMAL))
    return [message]


def _ask(bench: Bench, case: Case) -> Reply:
    reply = bench.ask(case.target, requests_of(case.target), case.answer)
    replies.check(reply, bench.log.bugs, bench.log.leaks)
    return reply


def compare(case: Case, reply: Reply, judged: dict[str, Any] | Exception) -> str:
    """How the call ended, beside boto3.

    Raises:
        Unlike: it ended otherwise than it may.
    """
    if reply.code is not grpc.StatusCode.OK:
        return _refused(case, reply, judged)
    responses = [case.target.operation.response_class.FromString(each) for each in reply.responses]
    if any(not _in_range(each) for each in messages_in(responses[0])):
        raise Unlike("a Timestamp outside of protobuf's range, the years 1 to 9999")
    if isinstance(judged, ClientError):
        raise Unlike("OK where boto3 has an error of AWS's")
    if isinstance(judged, Exception):
        return _more_than_boto3(judged)
    return _like_boto3(case, responses, judged)


def _in_range(message: Any) -> bool:
    if message.DESCRIPTOR.full_name != "google.protobuf.Timestamp":
        return True
    in_years = _FIRST_MOMENT <= message.seconds < _AFTER_LAST_MOMENT
    return bool(in_years and 0 <= message.nanos < 1_000_000_000)


def _like_boto3(case: Case, responses: list[Any], judged: dict[str, Any]) -> str:
    shape = case.target.model.output_shape
    if shape is None:
        return "answered"
    ours = mirror.read(responses[0], shape)
    payload = model.streaming_member(shape)
    if payload is not None:
        field = mirror.field_of(responses[0], payload).name
        ours[payload] = b"".join(getattr(each, field) for each in responses)
    else:
        try:
            fits.strict_json(case.answer.body or b"{}")
        except ValueError:
            return _loose_json(case)
    found = differences(known(judged, shape), ours, "answer")
    if found and not _fits(case, shape):
        return "answered, odd values"  # tests/fuzz/test_odd_values.py compares the rest
    if found:
        raise Unlike(f"not boto3's answer: {found[0][:200]}")
    return "answered"


def _refused(case: Case, reply: Reply, judged: dict[str, Any] | Exception) -> str:
    info = replies.info_of(reply)
    if isinstance(judged, ClientError):
        status = str(judged.response["ResponseMetadata"]["HTTPStatusCode"])
        if info.metadata.get("http_status") != status:
            raise Unlike(f"an error of AWS's told as {info.reason}")
        return "an error of AWS's"
    if isinstance(judged, Exception):
        return f"refused as boto3 does: {info.reason}"
    # What is a JSON object is read, whatever is odd in it.
    if case.answer.status in range(200, 300) and _is_object(case.answer.body):
        raise Unlike(f"{info.reason} for a JSON object")
    return f"refused where boto3 is lenient, no JSON object: {info.reason}"


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (RecursionError, ValueError):
        return False


def _fits(case: Case, shape: model.StructureShape) -> bool:
    if model.streaming_member(shape) is not None:
        return True
    try:
        return fits.fits(fits.strict_json(case.answer.body or b"{}"), shape)
    except ValueError:
        return False


def _more_than_boto3(judged: Exception) -> str:
    if "Invalid service response" in str(judged):
        return "answered, a union of none or several members"  # documented
    return f"answered where boto3 has {type(judged).__name__}"


def _loose_json(case: Case) -> str:
    """JSON that only some readers take: boto3 has an empty answer, or one with a NaN in it."""
    if not case.answer.body.lstrip(b"\xef\xbb\xbf\xff\xfe \n\t").startswith(b"{"):
        raise Unlike("OK for a body that is no JSON object")
    return "answered, JSON with a byte order mark, another encoding or NaN"


def known(judged: Any, shape: model.Shape) -> Any:
    """boto3's answer with what the contract says otherwise.

    Null in a list is an empty message, and a moment without a zone is UTC, as all of AWS's are.
    """
    if isinstance(judged, datetime) and judged.tzinfo is None:
        return judged.replace(tzinfo=UTC)
    if isinstance(shape, model.StructureShape) and not model.is_document(shape):
        if judged is None:
            return {}
        return {
            name: known(each, shape.members[name]) if name in shape.members else each
            for name, each in judged.items()
        }
    if isinstance(shape, model.ListShape) and isinstance(judged, list):
        return [known(each, shape.member) for each in judged]
    if isinstance(shape, model.MapShape) and isinstance(judged, dict):
        return {key: known(each, shape.value) for key, each in judged.items()}
    return judged
