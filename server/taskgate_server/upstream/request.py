"""What is asked of an AWS service, with all that sharing needs to know of it, worked out once."""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.in_flight import InFlightCall
from taskgate_server.upstream.writes import Resource

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.upstream.plans import OperationPlan

KEY_ITEM_BYTES: Final = 150
"""A parameter in a key: its tuple, and its place in the set."""

Params: TypeAlias = Mapping[str, Any]
Outcome: TypeAlias = AwsResponse | TaskgateError
"""What a call ends with."""


@dataclass(frozen=True, slots=True, eq=False)
class AwsRequest:
    """One call of one operation; the same one may be asked again and again."""

    operation: str
    params: Params
    """As boto3 takes them."""
    plan: OperationPlan
    key: Hashable
    """Equal for equal questions, and for no others."""
    resource: Resource
    """What it is about."""


Read: TypeAlias = InFlightCall[AwsRequest, AwsResponse]
"""A shared read on its way."""


def make_aws_request(operation: str, params: Params, plan: OperationPlan) -> AwsRequest:
    """The question that an operation with these parameters is."""
    return AwsRequest(
        operation, params, plan, request_key(operation, params), plan.resource(params)
    )


def request_key(operation: str, params: Params) -> Hashable:
    """Equal for equal questions, and for no others."""
    return (operation, _canonical(params))


def key_bytes(key: Hashable) -> int:
    """Return the memory that a key of `request_key` takes."""
    _, params = cast("tuple[str, str | frozenset[tuple[str, object]]]", key)
    if isinstance(params, str):
        return sys.getsizeof(params)
    return sum(sys.getsizeof(value) + KEY_ITEM_BYTES for _, value in params)


def _canonical(params: Params) -> Hashable:
    """The parameters as a key: equal for equal ones, whatever their order."""
    try:
        key = frozenset(params.items())
        hash(key)
    except TypeError:  # a list or a structure in it
        return json.dumps(params, sort_keys=True, default=repr)
    return key
