"""The OpenAPI document as the server serves it."""

from __future__ import annotations

from taskgate_server.ports import Address
from tests.support.http_client import request


def test_the_document_has_the_served_methods(http: Address) -> None:
    reply = request(http, "/openapi.json", method="GET")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["openapi"].startswith("3.1")
    paths = reply.json["paths"]
    assert "get" in paths["/taskgate.v1.TaskService/GetTask"]
    assert "get" not in paths["/taskgate.v1.TaskService/CancelTask"]
    assert "/taskgate.omics.v1.OmicsService/GetRun" in paths
    again = {"if-none-match": reply.headers["etag"]}
    assert request(http, "/openapi.json", method="GET", headers=again).status == 304
