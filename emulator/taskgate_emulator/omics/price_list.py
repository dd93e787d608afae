"""AWS's Price List service, as far as it can be had here: it knows HealthOmics, and no price.

AWS's run analyzer asks it before anything else. Without prices the analyzer leaves its costs empty,
which is the truth here.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from taskgate_emulator.core.responses import HttpResponse, json_body

__all__ = ["NAME", "response"]

NAME = "pricing"
"""What signatures call the service."""

_HEADERS = {"Content-Type": "application/x-amz-json-1.1"}
_RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "DescribeServices": {
        "FormatVersion": "aws_v1",
        "Services": [
            {"ServiceCode": "AmazonOmics", "AttributeNames": ["regionCode", "resourceType"]}
        ],
    },
    "GetProducts": {"FormatVersion": "aws_v1", "PriceList": []},
}


def response(operation: str) -> HttpResponse:
    """Answer a request, whatever its parameters are."""
    body = _RESPONSES.get(operation)
    if body is None:
        error = {"__type": "NotImplemented", "message": f"{operation} of {NAME} is not emulated"}
        status = HTTPStatus.NOT_IMPLEMENTED
        return HttpResponse(status=status, headers=_HEADERS, body=json_body(error))
    return HttpResponse(status=HTTPStatus.OK, headers=_HEADERS, body=json_body(body))
