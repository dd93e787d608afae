"""Seed files: calls of AWS's own operations.

    [[call]]
    service = "deadline"
    operation = "CreateFarm"
    as = "farm"
    params = { displayName = "Mine" }

    [[call]]
    service = "deadline"
    operation = "CreateQueue"
    params = { farmId = "${farm.farmId}", displayName = "Beauty" }

`extends = "demo"` loads the demo first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ParamValidationError
from botocore.serialize import create_serializer
from multidict import CIMultiDict

from taskgate_emulator.core.dispatch import Dispatcher, HttpRequest
from taskgate_emulator.core.documents import read_document, reject_unknown_keys
from taskgate_emulator.core.responses import HttpResponse

__all__ = ["load_seed_file"]

_REFERENCE = re.compile(r"\$\{(\w+)\.(\w+)\}")
_FIRST_ERROR = 300


def load_seed_file(path: Path, dispatcher: Dispatcher, load_demo: Callable[[], None]) -> None:
    """Perform the calls of a seed file.

    Raises:
        ValueError: the file is not a seed, or a call failed; the message says which.
    """
    document = read_document(path)
    reject_unknown_keys(str(path), document, ["call", "extends"])
    extends = document.get("extends", "empty")
    if extends not in {"demo", "empty"}:
        raise ValueError(f"{path}: extends must be demo or empty")
    if extends == "demo":
        load_demo()
    responses: dict[str, Mapping[str, Any]] = {}
    for position, call in enumerate(document.get("call", ()), start=1):
        where = f"{path}: call {position}"
        reject_unknown_keys(where, call, ["service", "operation", "as", "params"])
        response = _make(where, call, dispatcher, responses)
        if "as" in call:
            responses[call["as"]] = response


def _make(
    where: str,
    call: Mapping[str, Any],
    dispatcher: Dispatcher,
    responses: Mapping[str, Mapping[str, Any]],
) -> Mapping[str, Any]:
    try:
        operation = dispatcher.operation(call["service"], call["operation"])
        params = _resolved(call.get("params", {}), responses)
        request = create_serializer("rest-json").serialize_to_request(params, operation)
    except KeyError as error:
        raise ValueError(f"{where}: {error.args[0]!r} is missing") from error
    except (ValueError, ParamValidationError) as error:
        raise ValueError(f"{where}: {error}") from error
    response = dispatcher.handle(_http(request))
    if response.status >= _FIRST_ERROR:
        raise ValueError(f"{where}: {operation.name} was refused: {response.body.decode()}")
    return _document(response)


def _http(request: Mapping[str, Any]) -> HttpRequest:
    body = request["body"]
    return HttpRequest(
        method=request["method"],
        raw_path=request["url_path"],
        query=urlencode(request["query_string"], doseq=True),
        headers=CIMultiDict({**request["headers"], "Authorization": "seed"}),
        body=body if isinstance(body, bytes) else str(body).encode(),
    )


def _document(response: HttpResponse) -> Mapping[str, Any]:
    document = json.loads(response.body) if response.body else {}
    return document if isinstance(document, dict) else {}


def _resolved(value: Any, responses: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: str(responses[found[1]][found[2]]), value)
    if isinstance(value, list):
        return [_resolved(inner, responses) for inner in value]
    if isinstance(value, dict):
        return {name: _resolved(inner, responses) for name, inner in value.items()}
    return value
