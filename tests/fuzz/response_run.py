"""Returns mutated responses to valid requests, and compares the results with boto3's."""

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
from tests.fuzz import json_types, response_checks
from tests.fuzz.findings import Findings, TooSlowError, random_for, shortened, time_limit
from tests.fuzz.inprocess import GrpcResponse, InProcessServer, Target
from tests.fuzz.request_cases import messages_in
from tests.fuzz.response_cases import Case, ResponseCases
from tests.fuzz.response_checks import Mismatch
from tests.support.boto3_wire import HOST, AwsResponse, Wire
from tests.support.contract import mirror
from tests.support.contract.exchange import differences
from tests.support.contract.synthesis import MINIMAL, Synthesizer
from tests.support.running_server import REGION

KIND = "answer"
_FIRST_MOMENT, _AFTER_LAST_MOMENT = -62_135_596_800, 253_402_300_800


class Boto3Oracle:
    """Plain boto3, given the same responses."""

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

    def call(self, target: Target, response: AwsResponse) -> dict[str, Any] | Exception:
        """Return boto3's result for a response, or its exception."""
        self._wire.response = response
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
        except Exception as error:  # noqa: BLE001  # boto3 raises many kinds for odd responses
            return error
        return result


def run(server: InProcessServer, indexes: Iterable[int]) -> Findings:
    """Run the cases of some indexes in process."""
    findings = Findings("responses in process")
    cases, oracle = ResponseCases(server.targets), Boto3Oracle()
    for index in indexes:
        case = cases.case(index, random_for(KIND, index))
        description = describe(index, case)
        started = time.perf_counter()
        try:
            with time_limit():
                response = _call(server, case)
            findings.record_duration(time.perf_counter() - started, description[:200])
            outcome = compare(case, response, oracle.call(case.target, case.response))
        except Mismatch as mismatch:
            outcome = "failed"
            findings.fail(f"{mismatch}", description)
        except (Exception, TooSlowError) as error:  # noqa: BLE001  # that is what is looked for
            outcome = "failed"
            findings.fail(f"{type(error).__name__}: {error}"[:200], description)
        findings.counts[outcome] += 1
    return findings


def describe(index: int, case: Case) -> str:
    """Return all that is needed to repeat a case."""
    response = case.response
    headers = {name: shortened(value, 80) for name, value in response.headers}
    return (
        f"case {index} {case.target} by {'+'.join(case.how) or 'nothing'}:"
        f" {response.status} {headers} {shortened(response.body)}"
    )


def requests_for(target: Target) -> list[Any]:
    """Return a valid request."""
    message = target.operation.request_class()
    shape = target.model.input_shape
    if shape is not None:
        mirror.write(message, shape, Synthesizer(wire=False).params(target.model, MINIMAL))
    return [message]


def _call(server: InProcessServer, case: Case) -> GrpcResponse:
    response = server.call(case.target, requests_for(case.target), case.response)
    response_checks.check(response, server.log.bugs, server.log.leaks)
    return response


def compare(case: Case, response: GrpcResponse, oracle_result: dict[str, Any] | Exception) -> str:
    """Return the outcome of a call, compared with boto3's.

    Raises:
        Mismatch: the outcome is not allowed.
    """
    if response.code is not grpc.StatusCode.OK:
        return _compare_errors(case, response, oracle_result)
    responses = [
        case.target.operation.response_class.FromString(each) for each in response.responses
    ]
    if any(not _in_range(each) for each in messages_in(responses[0])):
        raise Mismatch("a Timestamp outside of protobuf's range, the years 1 to 9999")
    if isinstance(oracle_result, ClientError):
        raise Mismatch("OK where boto3 has an error of AWS's")
    if isinstance(oracle_result, Exception):
        return _boto3_failed(oracle_result)
    return _compare_results(case, responses, oracle_result)


def _in_range(message: Any) -> bool:
    if message.DESCRIPTOR.full_name != "google.protobuf.Timestamp":
        return True
    in_years = _FIRST_MOMENT <= message.seconds < _AFTER_LAST_MOMENT
    return bool(in_years and 0 <= message.nanos < 1_000_000_000)


def _compare_results(case: Case, responses: list[Any], oracle_result: dict[str, Any]) -> str:
    shape = case.target.model.output_shape
    if shape is None:
        return "returned"
    actual = mirror.read(responses[0], shape)
    payload = model.streaming_member(shape)
    if payload is not None:
        field = mirror.field_of(responses[0], payload).name
        actual[payload] = b"".join(getattr(each, field) for each in responses)
    else:
        try:
            json_types.strict_json(case.response.body or b"{}")
        except ValueError:
            return _lenient_json(case)
    found = differences(known(oracle_result, shape), actual, "response")
    if found and not _matches_model(case, shape):
        return "returned, odd values"  # tests/fuzz/test_odd_values.py compares the rest
    if found:
        raise Mismatch(f"not boto3's response: {found[0][:200]}")
    return "returned"


def _compare_errors(
    case: Case, response: GrpcResponse, oracle_result: dict[str, Any] | Exception
) -> str:
    info = response_checks.info_of(response)
    if isinstance(oracle_result, ClientError):
        status = str(oracle_result.response["ResponseMetadata"]["HTTPStatusCode"])
        if info.metadata.get("http_status") != status:
            raise Mismatch(f"an error of AWS's reported as {info.reason}")
        return "an error of AWS's"
    if isinstance(oracle_result, Exception):
        return f"refused as boto3 does: {info.reason}"
    # What is a JSON object is read, whatever is odd in it.
    if case.response.status in range(200, 300) and _is_object(case.response.body):
        raise Mismatch(f"{info.reason} for a JSON object")
    return f"refused where boto3 is lenient, no JSON object: {info.reason}"


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (RecursionError, ValueError):
        return False


def _matches_model(case: Case, shape: model.StructureShape) -> bool:
    if model.streaming_member(shape) is not None:
        return True
    try:
        return json_types.matches(json_types.strict_json(case.response.body or b"{}"), shape)
    except ValueError:
        return False


def _boto3_failed(oracle_result: Exception) -> str:
    if "Invalid service response" in str(oracle_result):
        return "returned, a union of none or several members"  # documented
    return f"returned where boto3 has {type(oracle_result).__name__}"


def _lenient_json(case: Case) -> str:
    """Return the outcome for JSON that only some readers accept.

    boto3 returns an empty result, or one with NaN.
    """
    if not case.response.body.lstrip(b"\xef\xbb\xbf\xff\xfe \n\t").startswith(b"{"):
        raise Mismatch("OK for a body that is no JSON object")
    return "returned, JSON with a byte order mark, another encoding or NaN"


def known(oracle_result: Any, shape: model.Shape) -> Any:
    """Return boto3's result with the contract's known differences.

    Null in a list is an empty message, and a timestamp without a zone is UTC, as all of AWS's are.
    """
    if isinstance(oracle_result, datetime) and oracle_result.tzinfo is None:
        return oracle_result.replace(tzinfo=UTC)
    if isinstance(shape, model.StructureShape) and not model.is_document(shape):
        if oracle_result is None:
            return {}
        return {
            name: known(each, shape.members[name]) if name in shape.members else each
            for name, each in oracle_result.items()
        }
    if isinstance(shape, model.ListShape) and isinstance(oracle_result, list):
        return [known(each, shape.member) for each in oracle_result]
    if isinstance(shape, model.MapShape) and isinstance(oracle_result, dict):
        return {key: known(each, shape.value) for key, each in oracle_result.items()}
    return oracle_result
