"""Valid and invalid requests of every operation: only modelled errors, and none that takes long.

`make test` sends a few; `EMULATOR_REQUESTS=20000` sends that many of both sorts, and `SEED` selects
others.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.serialize import create_serializer
from multidict import CIMultiDict

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core.catalog import load_catalog
from taskgate_emulator.core.dispatch import HttpRequest
from taskgate_emulator.core.operations import error_names
from taskgate_emulator.core.responses import HttpResponse
from taskgate_emulator.core.state import Account
from taskgate_emulator.deadline.templates import Document, environment_name
from taskgate_server.aws.model import OperationModel, load_service, operations
from tests.emulator.deadline_jobs import CHUNKED, frames, template
from tests.emulator.template_documents import DOCUMENTS, OPTIONAL, TYPED
from tests.support.contract.synthesis import FULL, MINIMAL, Synthesizer, Variant
from tests.support.omics_runs import zipped
from tests.support.seeds import VOLUME, examples, seeded

REQUESTS = int(os.environ.get("EMULATOR_REQUESTS") or examples(2_000)) * VOLUME
MAX_SECONDS = 1.0
REQUESTS_PER_SCENE = 2_000
FIRST_ERROR = 300
MIN_SUCCEEDED = {"valid": 0.5, "invalid": 0.3}
"""The least share of operations that succeed at least once."""
ALWAYS = frozenset({"NotImplemented", "UnknownOperationException", "ValidationException"})
"""Codes that the models of all operations or of some do not list."""
VARIANTS = (FULL, MINIMAL, *(Variant(seed=seed) for seed in range(7, 13)))
OPERATIONS = [
    operation
    for service in ("deadline", "omics")
    for operation in operations(load_service(service))
]
DEFINITION = zipped(main_wdl="version 1.0\ntask one { command {} }\nworkflow main { call one }\n")
TEMPLATES = (
    template(**frames(3)),
    CHUNKED,
    TYPED,
    OPTIONAL,
    *(text for text, _ in DOCUMENTS.values()),
)
DOCUMENTS_BY_NAME: Mapping[str, Sequence[Any]] = {
    "template": TEMPLATES,
    "definitionZip": (DEFINITION, DEFINITION, b"no zip"),
    "parameters": ({},),
    "parameterTemplate": ({"one": {"optional": True}},),
    "definitionUri": ("s3://northlight-jobs/flow.zip",),
    "source1": ("s3://northlight-jobs/flow.zip", "s3://missing/object"),
    "sourceFile": ("s3://northlight-jobs/flow.zip", "s3://missing/object"),
    "engine": ("WDL",),
    "main": ("main.wdl",),
}
ODD: Sequence[Any] = (
    *(
        "",
        "x" * 3_000,
        "häß\x00\ud83d",
        "../../etc",
        "NaN",
        "9" * 400,
        "1-3",
        "arn:aws:omics:x:1:run/7",
    ),
    *(0, -1, 2**31, 2**63, 10**400, 1e308, -0.0, True, False, None),
    *([], {}, [[]], [None], {"": ""}, {"int": "1"}, [1, "a", {}], {"a": {"b": {"c": []}}}),
)


class Requests:
    """Makes requests whose ids are often those of existing resources."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._made: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._serializer = create_serializer("rest-json", include_validation=False)

    def valid(self, operation: OperationModel, random: Random) -> HttpRequest:
        """Return a request that satisfies the model."""
        known = self._known(operation, random)
        params: dict[str, Any] = _filled(self._params(operation, random), known, random)
        return _http(self._serializer.serialize_to_request(params, operation))

    def invalid(self, operation: OperationModel, random: Random) -> HttpRequest:
        """Return a request with odd values, or that is not even rest-json."""
        request = self.valid(operation, random)
        body, path, query = request.body, request.raw_path, request.query
        kind = random.random()
        if kind < 0.6 and body[:1] == b"{":
            document = json.loads(body)
            for _ in range(random.choice((1, 1, 3))):
                document = _mutated(document, random)
            body = json.dumps(document, default=str).encode()
        elif kind < 0.7:
            body = random.choice((b"{", b"[" * 50_000, b"\xff\xfe", b"null", b'{"a": NaN}', b"0"))
        elif kind < 0.85:
            segments = path.split("/")
            segments[random.randrange(1, len(segments))] = random.choice(
                ("", "..", "%00", "%FF", "x" * 2_000, "%2F", "a b", "farm-0")
            )
            path = "/".join(segments)
        else:
            query = f"{query}&maxResults=-1&nextToken=%00&status=x&{'a=b&' * 100}"
        return HttpRequest(
            method=request.method,
            raw_path=path,
            query=query,
            headers=request.headers,
            body=body,
        )

    def _params(self, operation: OperationModel, random: Random) -> dict[str, Any]:
        variant = random.choice(VARIANTS)
        key = (operation.service_model.service_name, operation.name, variant.seed)
        if key not in self._made:
            self._made[key] = Synthesizer(wire=False).params(operation, variant)
        params = dict(self._made[key])
        for token in operation.idempotent_members:
            params[token] = f"token-{random.getrandbits(64)}"
        return params

    def _known(self, operation: OperationModel, random: Random) -> dict[str, str]:
        """Return ids of existing resources by the names of the params that may have them."""
        known: dict[str, str] = {}
        if random.random() < 0.1:
            return known
        catalog = load_catalog(operation.service_model.service_name)
        # The resource in the operation's name comes first, as `id` alone means it.
        others = sorted(catalog.resources.values(), key=lambda each: -len(each.noun))
        first = [each for each in others if each.noun in operation.name]
        random.shuffle(others)
        for resource in [*first, *others]:
            keys = list(self._account.table(resource.kind))
            random.shuffle(keys)
            for key in keys[:20]:
                row = self._account.table(resource.kind).record(key) or {}
                ids = dict(
                    zip(
                        resource.labels,
                        [*key[: resource.scope_size], *key[-1].split("/")],
                        strict=False,
                    )
                )
                if resource.labels[-1] == "id":
                    ids[f"{resource.noun[0].lower()}{resource.noun[1:]}Id"] = key[-1]
                if "arn" in row:
                    ids["resourceArn"] = row["arn"]
                if all(known.get(name, value) == value for name, value in ids.items()):
                    known |= ids
                    break
        return known


def _filled(value: Any, known: Mapping[str, str], random: Random) -> Any:
    """Replace ids and documents in params by known ones."""
    if isinstance(value, list):
        return [_filled(inner, known, random) for inner in value]
    if not isinstance(value, dict):
        return value
    filled = {name: _known_value(name, inner, known, random) for name, inner in value.items()}
    for name in ("nextToken", "startingToken"):
        if random.random() < 0.9:
            filled.pop(name, None)
    if "template" in filled:
        filled["templateType"] = random.choice(("YAML", "YAML", "JSON"))
    return filled


def _known_value(name: str, value: Any, known: Mapping[str, str], random: Random) -> Any:
    if name in known:
        return known[name]
    if name.endswith("Ids") and name[:-1] in known:
        return [known[name[:-1]]]
    if name in DOCUMENTS_BY_NAME:
        return random.choice(DOCUMENTS_BY_NAME[name])
    return _filled(value, known, random)


def _mutated(value: Any, random: Random) -> Any:
    if isinstance(value, Mapping) and value and random.random() < 0.85:
        name = random.choice(list(value))
        if random.random() < 0.15:
            return {each: inner for each, inner in value.items() if each != name}
        return {**value, name: _mutated(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        position = random.randrange(len(value))
        return [*value[:position], _mutated(value[position], random), *value[position + 1 :]]
    return random.choice(ODD)


def _http(request: Mapping[str, Any]) -> HttpRequest:
    body = request["body"]
    return HttpRequest(
        method=request["method"],
        raw_path=request["url_path"],
        query=urlencode(request["query_string"], doseq=True),
        headers=CIMultiDict({**request["headers"], "Authorization": "any"}),
        body=body if isinstance(body, bytes) else str(body).encode(),
    )


class Scene:
    """An emulator with the demo, which requests may change and delete."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        aws = Emulator(clock=self.clock)
        region = aws._registry.default
        # Libraries that the first request loads are not part of any request's time.
        region.moto_services.prepare("s3")
        environment_name(Document(OPTIONAL, "YAML"))
        region.moto_services.write_object("northlight-jobs", "flow.zip", DEFINITION)
        self.dispatcher = region.dispatcher
        self.requests = Requests(region.account)


@pytest.mark.parametrize("sort", ["valid", "invalid"])
def test_requests_get_modelled_responses_quickly(sort: str) -> None:
    failures: list[str] = []
    succeeded: set[str] = set()
    slowest = 0.0
    for index in range(REQUESTS):
        if index % REQUESTS_PER_SCENE == 0:
            scene = Scene()
        random = seeded("emulator", sort, index)
        operation = OPERATIONS[index % len(OPERATIONS)]
        if operation.name.startswith(("Delete", "BatchDelete")) and random.random() < 0.8:
            operation = random.choice(OPERATIONS)
        request = getattr(scene.requests, sort)(operation, random)
        if random.random() < 0.05:
            scene.clock.advance(random.choice((1, 5, 60)))
        # Of the processor, as other programs may delay the test.
        start = time.thread_time()
        response = scene.dispatcher.handle(request)
        slowest = max(slowest, time.thread_time() - start)
        problem = problem_of(response, operation)
        if problem:
            failures.append(f"{index} {operation.name}: {problem}")
        elif response.status < FIRST_ERROR:
            succeeded.add(operation.name)
    assert not failures, "\n".join(failures[:20])
    assert slowest < MAX_SECONDS
    assert len(succeeded) > len(OPERATIONS) * MIN_SUCCEEDED[sort], len(succeeded)


def problem_of(response: HttpResponse, operation: OperationModel) -> str | None:
    if response.status < FIRST_ERROR:
        return None
    code = response.headers.get("x-amzn-ErrorType", "")
    if code in error_names(operation) | ALWAYS:
        return None
    return f"{response.status} {code} {response.body[:300]!r}"
