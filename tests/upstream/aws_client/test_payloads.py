"""Bodies that are one member of the response, and responses that have no body."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.exceptions import IncompleteReadError
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody

from taskgate_server.aws import model
from taskgate_server.upstream.aws_client.responses import BODY, ParsedBody, parse_body

SHAPES: dict[str, Any] = {
    "Text": {"type": "string"},
    "Data": {"type": "blob"},
    "Thing": {"type": "structure", "members": {"name": {"shape": "Text"}}},
}


def operation(target: str, payload: str | None = "it") -> model.OperationModel:
    """Return an operation whose response has a member `it`, which is the body by default."""
    output: dict[str, Any] = {"type": "structure", "members": {"it": {"shape": target}}}
    if payload is not None:
        output["payload"] = payload
    service = model.ServiceModel(
        {
            "metadata": {"protocol": "rest-json"},
            "operations": {
                "Get": {
                    "name": "Get",
                    "http": {"method": "GET", "requestUri": "/"},
                    "output": {"shape": "Output"},
                }
            },
            "shapes": {**SHAPES, "Output": output},
        }
    )
    return service.operation_model("Get")


def read(body: Any, of: model.OperationModel, status: int = 200, length: str = "") -> ParsedBody:
    parsed: dict[str, Any] = {}
    response = {
        "status_code": status,
        "headers": HeadersDict({"Content-Length": length}),
        "body": body,
    }
    parse_body(of, response, parsed)
    found = parsed[BODY]
    assert isinstance(found, ParsedBody)
    return found


def test_structure_is_the_json_of_the_body() -> None:
    assert read(b'{"name": "a"}', operation("Thing")).value == {"it": {"name": "a"}}


@pytest.mark.parametrize(("body", "value"), [(b"", {}), (b"null", None)])
def test_structure_may_be_empty(body: bytes, value: object) -> None:
    assert read(body, operation("Thing")).value == {"it": value}


def test_structure_that_is_not_json_is_refused() -> None:
    with pytest.raises(ResponseParserError, match="not JSON"):
        read(b"<html>", operation("Thing"))


def test_text_is_the_body_with_replaced_bytes_that_are_not_utf8() -> None:
    assert tuple(read("é".encode(), operation("Text"))) == ({"it": "é"}, 2, False, "it")
    assert tuple(read(b"a\xff", operation("Text"))) == ({"it": "a\ufffd"}, 2, True, "it")


@pytest.mark.parametrize("target", ["Thing", "Text"])
def test_body_that_ended_early_is_refused(target: str) -> None:
    with pytest.raises(IncompleteReadError):
        read(b"{}", operation(target), length="9")


def test_bytes_are_read_to_their_end() -> None:
    body = StreamingBody(BytesIO(b"\x00\xff"), 2)
    assert read(body, operation("Data")).value == {"it": b"\x00\xff"}
    with pytest.raises(IncompleteReadError):
        read(StreamingBody(BytesIO(b"\x00"), 2), operation("Data"))


def test_empty_body_is_refused_unless_the_status_says_that_there_is_none() -> None:
    assert read(b"", operation("Text", payload=None), status=204).value == {}
    with pytest.raises(ResponseParserError, match="empty"):
        read(b"", operation("Text", payload=None))
