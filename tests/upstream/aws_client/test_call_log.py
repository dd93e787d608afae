"""Log lines about failed AWS calls."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from taskgate_server import errors
from taskgate_server.upstream.aws_client.failures import CallLog, from_botocore

ORIGIN = errors.Origin(
    service="deadline",
    title="AWS Deadline Cloud",
    domain="deadline.amazonaws.com",
    operation="GetJob",
    endpoint="https://deadline.example",
)
ROLE = "arn:aws:sts::123456789012:assumed-role/Taskgate/session"


class Lines:
    """Log lines in a list, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fields: list[dict[str, Any]] = []
        self.log = CallLog(self._write, lambda: self.now)

    def _write(self, message: str, *, extra: dict[str, Any]) -> None:
        assert message == "AWS call failed"
        self.fields.append(extra)

    def fail(self, error: Exception) -> None:
        self.log.log_error(from_botocore(error, ORIGIN), error, ORIGIN)


def client_error(code: str, message: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RequestId": "request-1", "HTTPStatusCode": 403},
    }
    return ClientError(response, "GetJob")


def test_a_denial_is_logged_with_names_and_the_request_id() -> None:
    lines = Lines()

    lines.fail(client_error("AccessDeniedException", f"User: {ROLE} is not authorized"))

    (fields,) = lines.fields
    assert ROLE in fields["text"]
    assert (fields["operation"], fields["aws_request_id"]) == ("GetJob", "request-1")


def test_texts_that_may_quote_a_request_are_not_logged() -> None:
    lines = Lines()

    for code in ("ValidationException", "ConflictException", "ResourceNotFoundException", "New"):
        lines.fail(client_error(code, "parameter 'secret' is wrong"))

    assert lines.fields == []


def test_secrets_are_not_logged() -> None:
    lines = Lines()

    lines.fail(client_error("SignatureDoesNotMatch", "x-amz-security-token: IQoJb3JpZ2lu"))

    (fields,) = lines.fields
    assert "IQoJb3JpZ2lu" not in fields["text"]


def test_an_unreachable_endpoint_is_logged_without_the_url_of_the_request() -> None:
    lines = Lines()

    lines.fail(EndpointConnectionError(endpoint_url="https://deadline.example/farms?name=secret"))

    (fields,) = lines.fields
    assert fields["endpoint"] == "https://deadline.example"
    assert "secret" not in json.dumps(fields)


def test_lines_are_bounded_in_size_and_number() -> None:
    lines = Lines()

    for _ in range(1000):
        lines.fail(client_error("AccessDeniedException", "no " * 10_000))
    assert len(lines.fields) == 10
    lines.now = 1.0
    lines.fail(client_error("AccessDeniedException", "no"))

    assert max(len(json.dumps(fields)) for fields in lines.fields) <= 2048
    assert lines.fields[-1]["suppressed_lines"] == 990
