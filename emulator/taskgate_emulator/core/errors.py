"""The errors that the emulator returns.

    AwsError                    an error as the caller sees it: a code, a message, modelled members
    ├── UnknownOperationError        no operation has this path (404), or this method (405)
    └── OperationNotEmulatedError    the operation is not emulated (501)

The model has the HTTP status and wire form of its codes, see `responses.py`; other errors have a
status of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

__all__ = [
    "AwsError",
    "OperationNotEmulatedError",
    "UnknownOperationError",
    "conflict",
    "not_found",
    "unparsable",
]


class AwsError(Exception):
    """An error that AWS would return.

    Args:
        code: the name of the error shape, such as `ValidationException`.
        message: for the caller.
        members: further members. Those that the service's error shape lacks are omitted, so one
            behaviour can serve services with different shapes.
        status: the HTTP status of a code that the service does not model.
    """

    def __init__(
        self,
        code: str,
        message: str,
        members: Mapping[str, object] | None = None,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.members: Mapping[str, object] = members or {}
        self.status = status


class UnknownOperationError(AwsError):
    """No operation has this path and method."""

    def __init__(self, method: str, path: str, allowed: Iterable[str] = ()) -> None:
        methods = sorted(allowed)
        if methods:
            message = f"{path} answers to {' and '.join(methods)}, not to {method}"
            status = HTTPStatus.METHOD_NOT_ALLOWED
        else:
            message = f"No operation has the path {path}"
            status = HTTPStatus.NOT_FOUND
        super().__init__("UnknownOperationException", message, status=status)


class OperationNotEmulatedError(AwsError):
    """The operation exists in AWS, but is not emulated."""

    def __init__(self, service: str, operation: str) -> None:
        super().__init__(
            "NotImplemented",
            f"{operation} is an operation of {service} that the emulator does not have",
            status=HTTPStatus.NOT_IMPLEMENTED,
        )


def not_found(resource_type: str, resource_id: str) -> AwsError:
    """Return the error of a resource that does not exist."""
    return AwsError(
        "ResourceNotFoundException",
        f"Resource of type {resource_type} with id {resource_id} does not exist.",
        {"resourceId": resource_id, "resourceType": resource_type},
    )


def conflict(
    resource_type: str, resource_id: str, message: str, reason: str = "STATUS_CONFLICT"
) -> AwsError:
    """Return the error of a request that the state or the contents of a resource do not allow."""
    return AwsError(
        "ConflictException",
        message,
        {"reason": reason, "resourceId": resource_id, "resourceType": resource_type},
    )


def unparsable(message: str) -> AwsError:
    """Return the error of a request that is not valid rest-json."""
    return AwsError("ValidationException", message, {"reason": "CANNOT_PARSE"})
