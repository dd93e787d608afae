"""The OpenAPI document as the server sends it."""

from __future__ import annotations

from importlib.metadata import version

from taskgate_server.ports import Address
from tests.support.http_client import request
from tests.support.openapi_document import document


def test_server_sends_the_document_of_what_it_serves(http: Address) -> None:
    response = request(http, "/openapi.json", method="GET")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    info = {**document()["info"], "version": version("taskgate")}
    assert response.json == {**document(), "info": info}


def test_response_without_content_is_documented(http: Address) -> None:
    path = "/taskgate.v1.TaskService/GetServerInfo"
    responses = document()["paths"][path]["get"]["responses"]
    for query in ("encoding=json&message=" + "x" * 40_000, "encoding=none&message={}"):
        response = request(http, f"{path}?{query}", method="GET")
        assert response.body == b""
        name = responses[str(response.status)]["$ref"].rpartition("/")[2]
        assert "content" not in document()["components"]["responses"][name]


def test_document_is_sent_once(http: Address) -> None:
    etag = request(http, "/openapi.json", method="GET").headers["etag"]
    again = request(http, "/openapi.json", method="GET", headers={"if-none-match": etag})
    assert (again.status, again.body) == (304, b"")
