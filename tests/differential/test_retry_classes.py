"""Which errors are retried and reduce the rate: compared with boto3's standard mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import botocore
import pytest
from botocore.retries import standard

from taskgate_server import error_rules, errors
from taskgate_server.aws import model
from taskgate_server.upstream.retries import is_retryable, is_throttle

STATUSES = (200, *range(400, 430), 431, 451, *range(500, 512), 520, 529, 599)

DIFFERENCES = {
    # A range that is not satisfiable stays so, although the model marks the error as retryable.
    "RangeNotSatisfiableException": "not sent again",
    # API Gateway's code of a 429. boto3 classifies it by the status alone.
    "TooManyRequests": "throttle without a status",
    # AWS's common errors, sent with 500 or 503. boto3 classifies them by the status alone.
    **dict.fromkeys(
        (
            *("InternalFailure", "InternalError", "InternalServerError"),
            *("ServiceUnavailable", "ServiceUnavailableException"),
        ),
        "sent again without a status",
    ),
}
"""Codes that Taskgate classifies differently from boto3, and how."""

STATUS_DIFFERENCES = {
    # RFC 9110 section 15.5.9: the client may repeat the request.
    408: "sent again",
    # botocore's legacy mode has it as exceeded bandwidth (`_retry.json`, `limit_exceeded`).
    509: "throttle",
}
"""Statuses that decide without a known code, while boto3's standard mode ignores them."""


def operation() -> model.OperationModel:
    return model.load_service("omics").operation_model("GetRun")


@cache
def botocore_codes() -> tuple[set[str], set[str]]:
    """Return the codes of throttles and of transient errors in botocore's lists."""
    lists: Any = standard  # the stubs lack the classes' private lists
    throttles = set(lists.ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    transient = set(lists.TransientRetryableChecker._TRANSIENT_ERROR_CODES)
    path = Path(botocore.__file__).parent / "data/_retry.json"
    for definition in json.loads(path.read_text())["definitions"].values():
        response = definition["applies_when"].get("response", {})
        if "service_error_code" in response:
            throttles.add(response["service_error_code"])
    return throttles, transient


def codes() -> Iterator[str]:
    """Yield every code of any list, and random ones."""
    throttles, transient = botocore_codes()
    random = Random(1)  # noqa: S311  # the same codes each time
    generated = {f"Error{random.randrange(10**6)}" for _ in range(20)}
    yield from sorted({*throttles, *transient, *error_rules.AWS_ERRORS, *generated})


def boto3_classification(code: str, status: int) -> tuple[bool, bool]:
    """Return whether boto3's standard mode retries a request, and treats it as a throttle."""
    response: Any = SimpleNamespace(status_code=status, headers={})
    context = standard.RetryContext(
        attempt_number=1,
        operation_model=operation(),
        parsed_response={"Error": {"Code": code}},
        http_response=response,
    )
    adapter: Any = None
    throttle = standard.ThrottlingErrorDetector(adapter).is_throttling_error_from_context(context)
    return standard.StandardRetryConditions().is_retryable(context), throttle


def made(code: str, status: int | None) -> errors.TaskgateError:
    metadata = {} if status is None else {"HTTPStatusCode": status}
    origin = errors.Origin(
        service="omics", title="AWS HealthOmics", domain="omics.amazonaws.com", operation="GetRun"
    )
    return errors.from_aws({"Error": {"Code": code}, "ResponseMetadata": metadata}, origin)


def taskgate_classification(code: str, status: int | None) -> tuple[bool, bool]:
    error = made(code, status)
    return is_retryable(error, repeatable=True), is_throttle(error)


def test_retries_and_throttles_are_classified_as_by_boto3() -> None:
    modelled = {shape.name for shape in operation().error_shapes}
    different = [
        (code, status, taskgate_classification(code, status), boto3_classification(code, status))
        for code in codes()
        for status in STATUSES
        if code not in DIFFERENCES
        and not (status in STATUS_DIFFERENCES and code not in error_rules.AWS_ERRORS)
        # Which operation declares an error is not looked at: all errors of both models count.
        and not (code in error_rules.MODELLED_ERRORS and code not in modelled)
        and taskgate_classification(code, status) != boto3_classification(code, status)
    ]
    assert not different, different[:10]


@pytest.mark.parametrize("status", STATUS_DIFFERENCES)
def test_statuses_that_boto3_ignores(status: int) -> None:
    assert boto3_classification("BrandNewCode", status) == (False, False)
    assert taskgate_classification("BrandNewCode", status) == (
        True,
        STATUS_DIFFERENCES[status] == "throttle",
    )


def test_each_listed_difference_exists() -> None:
    for code in DIFFERENCES:
        assert any(
            taskgate_classification(code, status) != boto3_classification(code, status)
            for status in STATUSES
        ), code


def test_every_code_that_botocore_lists_is_in_the_table() -> None:
    throttles, transient = botocore_codes()
    assert throttles | transient <= set(error_rules.AWS_ERRORS)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_write_is_not_repeated_after_a_server_error(status: int) -> None:
    assert not is_retryable(made("BrandNewCode", status), repeatable=False)


def test_throttle_without_a_code_has_a_retry_delay() -> None:
    response = {
        "Error": {"Code": "429"},
        "ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "7"}},
    }
    error = errors.from_aws(
        response, errors.Origin(service="o", title="O", domain="o", operation="G")
    )
    assert error.code.name == "RESOURCE_EXHAUSTED"
    assert error.retry_after == 7
    assert [detail.DESCRIPTOR.name for detail in error.details] == ["RetryInfo", "QuotaFailure"]
    assert is_throttle(error)
