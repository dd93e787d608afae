"""Which RPCs may be called with GET."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import MethodDescriptor

from taskgate.v1 import task_service_pb2
from taskgate_server.auth.actions import action_of
from taskgate_server.http.idempotency import is_safe
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import contract_of

UNIFIED = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
METHODS = [
    *UNIFIED.methods,
    *(each for spec in SERVICES for each in contract_of(spec.name).methods),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.full_name))
def test_exactly_the_reads_with_one_response_may_be_called_with_get(
    method: MethodDescriptor,
) -> None:
    name = f"{method.containing_service.full_name}/{method.name}"
    is_stream = method.client_streaming or method.server_streaming
    assert is_safe(method) is (action_of(name).group == "read" and not is_stream)
