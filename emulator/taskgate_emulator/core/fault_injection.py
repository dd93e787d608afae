"""Applies request rates and faults to calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.faults import Fault, Faults
from taskgate_emulator.core.quotas import Limiter, throttling_error
from taskgate_emulator.core.responses import HttpResponse, json_body
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    OperationModel,
    Shape,
    StructureShape,
    enum_values,
    is_document,
    is_union,
)

__all__ = ["FaultInjector"]

_UNKNOWN_ENUM_VALUE = "EMULATED_UNKNOWN_WORD"
_UNKNOWN_UNION_MEMBER = "emulatedUnknownMember"
_MAX_SKEW = timedelta(minutes=5)
"""How much the time of a signature may differ (AWS's general reference, "Signature Version 4")."""
_DELIVERIES = frozenset({"hang", "reset", "cut", "latency"})


class FaultInjector:
    """Rejects calls beyond a request rate, and makes calls fail by rule.

    Args:
        limiter: the request rates.
        faults: the rules.
        wall_clock: returns the real time, which signatures contain.
    """

    def __init__(
        self, limiter: Limiter, faults: Faults, wall_clock: Callable[[], datetime]
    ) -> None:
        self._limiter = limiter
        self._faults = faults
        self._wall_clock = wall_clock

    def handle(
        self,
        operation: OperationModel,
        now: datetime,
        headers: Mapping[str, str],
        perform: Callable[[], HttpResponse],
    ) -> HttpResponse:
        """Return the response to a call, changed by the fault that applies to it.

        Args:
            operation: that is called.
            now: the emulator's time.
            headers: of the request.
            perform: performs the call.

        Raises:
            AwsError: the call is rejected.
        """
        service = operation.service_model.service_name
        fault = self._faults.choose(service, operation.name)
        error = None if fault is None else _error(operation, fault)
        if error is not None:
            raise error
        if fault is not None and fault.kind == "clock_skew":
            return self._skew_clock(fault, headers, perform)
        self._limiter.admit(service, operation.name, now)
        response = perform()
        return response if fault is None else _change(response, operation, fault)

    def _skew_clock(
        self, fault: Fault, headers: Mapping[str, str], perform: Callable[[], HttpResponse]
    ) -> HttpResponse:
        time = self._wall_clock() + timedelta(seconds=fault.seconds)
        date = {"Date": format_datetime(time, usegmt=True)}
        signed = _signing_time(headers)
        if signed is not None and abs(time - signed) > _MAX_SKEW:
            code = "InvalidSignatureException"
            message = (
                f"Signature expired: {signed:%Y%m%dT%H%M%SZ} is not near {time:%Y%m%dT%H%M%SZ}"
            )
            return HttpResponse(
                status=HTTPStatus.FORBIDDEN,
                headers={**date, "Content-Type": "application/json", "x-amzn-ErrorType": code},
                body=json_body({"message": message}),
            )
        response = perform()
        return replace(response, headers={**response.headers, **date})


def _signing_time(headers: Mapping[str, str]) -> datetime | None:
    try:
        return datetime.strptime(headers.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ").replace(
            tzinfo=UTC
        )
    except ValueError:
        return None


def _error(operation: OperationModel, fault: Fault) -> AwsError | None:
    """Return the error of a fault, if its kind is an error."""
    model = operation.service_model
    service = model.service_name
    if fault.kind == "throttle":
        return throttling_error(service, seconds=fault.seconds)
    if fault.kind == "quota":
        members = {"serviceCode": service, "quotaCode": "L-00000000"}
        return AwsError("ServiceQuotaExceededException", "A quota is used up", members)
    if fault.kind == "unavailable":
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return AwsError("ServiceUnavailable", "Service is unavailable, by rule", status=status)
    if fault.kind != "internal":
        return None
    for shape in model.error_shapes:
        status = shape.metadata.get("error", {}).get("httpStatusCode")
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return AwsError(shape.name, "An internal error, by rule")
    return AwsError("InternalFailure", "An internal error, by rule")


def _change(response: HttpResponse, operation: OperationModel, fault: Fault) -> HttpResponse:
    if fault.kind in _DELIVERIES:
        return replace(response, delivery=fault.kind, delay=fault.seconds)
    if fault.kind == "garbage":
        return replace(response, body=b"<html><body>this is no JSON</body></html>")
    is_error = response.status >= HTTPStatus.BAD_REQUEST
    if is_error or not response.body or operation.output_shape is None:
        return response
    replace_value = _unknown_enum_value if fault.kind == "unknown_enum" else _unknown_union_member
    document = _replace_values(json.loads(response.body), operation.output_shape, replace_value)
    return replace(response, body=json_body(document))


def _unknown_enum_value(value: Any, shape: Shape) -> Any:
    return _UNKNOWN_ENUM_VALUE if enum_values(shape) else value


def _unknown_union_member(value: Any, shape: Shape) -> Any:
    return {_UNKNOWN_UNION_MEMBER: {}} if is_union(shape) else value


def _replace_values(value: Any, shape: Shape, replace_value: Callable[[Any, Shape], Any]) -> Any:
    if value is None or is_document(shape):
        return value
    if isinstance(shape, ListShape) and isinstance(value, list):
        value = [_replace_values(inner, shape.member, replace_value) for inner in value]
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        value = {
            key: _replace_values(inner, shape.value, replace_value) for key, inner in value.items()
        }
    elif isinstance(shape, StructureShape) and isinstance(value, dict):
        names = {
            member.serialization.get("name", name): member for name, member in shape.members.items()
        }
        value = {
            name: _replace_values(inner, names[name], replace_value) if name in names else inner
            for name, inner in value.items()
        }
    return replace_value(value, shape)
