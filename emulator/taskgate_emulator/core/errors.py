"""What the emulator answers when it does not do what was asked.

    AwsError                    an error as the caller sees it: a code, a message, modelled members
    ├── UnknownOperationError        no operation has this path (404), or this method (405)
    ├── OperationNotEmulatedError    an operation of the model that is not emulated (501)
    ├── MissingAuthenticationError   the request is not signed (403)
    └── RequestTooLargeError         the body is beyond what the emulator reads (413)

HTTP status and wire form of the modelled codes come from the model, in `answers.py`; the others
carry their status, since no model has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

__all__ = [
    "AwsError",
    "MissingAuthenticationError",
    "OperationNotEmulatedError",
    "RequestTooLargeError",
    "UnknownOperationError",
    "conflict",
    "not_found",
    "unparsable",
]


class AwsError(Exception):
    """An error that AWS would answer with.

    Args:
        code: the name of the error shape, such as `ValidationException`.
        message: what the caller reads.
        members: further members; those that the service's own error shape lacks are left out, so
            that one line of behaviour serves two services with shapes of unlike richness.
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
    """No operation answers to this path and method."""

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
    """The operation exists at AWS, and not here."""

    def __init__(self, service: str, operation: str) -> None:
        super().__init__(
            "NotImplemented",
            f"{operation} is an operation of {service} that the emulator does not have",
            status=HTTPStatus.NOT_IMPLEMENTED,
        )


class MissingAuthenticationError(AwsError):
    """The request carries no signature at all."""

    def __init__(self) -> None:
        super().__init__(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
            status=HTTPStatus.FORBIDDEN,
        )


class RequestTooLargeError(AwsError):
    """The body is longer than the emulator reads into memory."""

    def __init__(self) -> None:
        super().__init__(
            "RequestEntityTooLarge",
            "The request body is larger than the emulator accepts",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )


def not_found(resource_type: str, resource_id: str) -> AwsError:
    """The resource does not exist."""
    return AwsError(
        "ResourceNotFoundException",
        f"Resource of type {resource_type} with id {resource_id} does not exist.",
        {"resourceId": resource_id, "resourceType": resource_type},
    )


def conflict(
    resource_type: str, resource_id: str, message: str, reason: str = "STATUS_CONFLICT"
) -> AwsError:
    """What the resource is, or what is in it, does not allow what was asked."""
    return AwsError(
        "ConflictException",
        message,
        {"reason": reason, "resourceId": resource_id, "resourceType": resource_type},
    )


def unparsable(message: str) -> AwsError:
    """The request is not what rest-json is made of."""
    return AwsError("ValidationException", message, {"reason": "CANNOT_PARSE"})
