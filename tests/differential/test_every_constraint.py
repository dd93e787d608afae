"""Every constraint of every structure in requests, violated alone: the error names its field.

botocore checks few of them, so the model is the oracle: one value of a valid request is changed to
violate a constraint, and the response must be INVALID_ARGUMENT with the path of that field only.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from taskgate_server.rpc.validation import MAX_KEY_CHARACTERS
from tests.support.contract.exchange import Exchange, request_message
from tests.support.contract.synthesis import WireResponse
from tests.support.contract.violations import KEY, Violation, every_violation

CASES = every_violation()


@pytest.mark.parametrize("name", CASES)
def test_error_names_the_violated_constraint(name: str, exchange: Exchange) -> None:
    faults = [fault for case in CASES[name] for fault in check(case, exchange)]

    assert not faults, "\n".join(faults[:10])


def check(case: Violation, exchange: Exchange) -> list[str]:
    request = request_message(case.operation, case.params)
    outcome = exchange.grpc(case.operation, request, WireResponse(status=200))

    description = str(case)
    if outcome.error is None:
        return [f"{description}: was taken"]
    if outcome.error.code() is not StatusCode.INVALID_ARGUMENT or outcome.sent is not None:
        return [f"{description}: {outcome.error.code()} {outcome.error.details()[:200]}"]
    paths = violated_fields(outcome.error)
    expected = case.spot.path
    if case.fault == KEY:
        key = next(iter(case.replacement))
        shown = key if len(key) <= MAX_KEY_CHARACTERS else f"{key[: MAX_KEY_CHARACTERS - 3]}..."
        expected += f"[{json.dumps(shown)}]"
    return [] if paths == [expected] else [f"{description}: {paths}"]


def violated_fields(error: Any) -> list[str]:
    status: Any = rpc_status.from_call(error)
    bad = error_details_pb2.BadRequest()
    assert any(packed.Unpack(bad) for packed in status.details)
    return [violation.field for violation in bad.field_violations]
