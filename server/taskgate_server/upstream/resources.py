"""Which resource of AWS's an operation is about, so that a write tells which reads are now too old.

A resource is its path: for `GetTask` the segments of its HTTP route up to the last id, filled in.
Counterpart: `writes` remembers when each was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from taskgate_server.aws import model
from taskgate_server.error_texts import sanitize
from taskgate_server.upstream.writes import Resource


def compile_resource(operation: model.OperationModel) -> Callable[[Mapping[str, Any]], Resource]:
    """The function from an operation's boto3 parameters to its resource.

    The route's last literal segments name a collection or a verb (`/run/{id}/cancel`), not a
    resource. An operation without an id in its route is about the whole service.
    """
    segments = [part for part in operation.http["requestUri"].partition("?")[0].split("/") if part]
    while segments and not segments[-1].startswith("{"):
        segments.pop()
    labels = {
        shape.serialization.get("name", member): member
        for member, shape in _members(operation).items()
        if shape.serialization.get("location") == "uri"
    }
    plan = [
        (labels[part.strip("{}+")], "") if part.startswith("{") else ("", part) for part in segments
    ]

    def resource(params: Mapping[str, Any]) -> Resource:
        return tuple(str(params.get(member, "")) if member else part for member, part in plan)

    return resource


def resource_name(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """Return the resource of a request for its errors, such as `run/7/task/8`.

    Args:
        service: botocore's name of the AWS service.
        operation: such as `GetRunTask`.
        params: of boto3.

    Returns:
        The segments of the HTTP route, without AWS accounts; empty if the route has no id.
    """
    segments = _compiled(service, operation)(params)
    return "/".join(sanitize(each) if ":" in each else each for each in segments)


@cache
def _compiled(service: str, operation: str) -> Callable[[Mapping[str, Any]], Resource]:
    return compile_resource(model.load_service(service).operation_model(operation))


def _members(operation: model.OperationModel) -> Mapping[str, model.Shape]:
    shape = operation.input_shape
    return shape.members if shape is not None else {}
