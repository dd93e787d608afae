"""Mutated requests in JSON: whatever arrives, the server responds, and never with a bug."""

from __future__ import annotations

import json
import random
from http.client import HTTPConnection

from google.protobuf import json_format, message_factory

from taskgate_server.ports import Address
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import contract_of
from tests.support.http_client import SECONDS
from tests.support.seeds import examples, seeded

REQUESTS = examples(1500)
PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"null",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"\xff",
    b"@type",
]
VALUES: list[object] = [
    None,
    True,
    -1,
    1.5,
    "",
    "a",
    [],
    {},
    [[]],
    {"a": {}},
    2**70,
    "NaN",
    "9" * 20,
]


def mutated(random_: random.Random, names: list[str]) -> bytes:
    """Return an object with members of a message that have values of any type, then broken."""
    some = random_.sample(names, min(len(names), random_.randrange(4)))
    data = bytearray(json.dumps({name: random_.choice(VALUES) for name in some}).encode())
    for _ in range(random_.randrange(3)):
        at = random_.randrange(len(data) + 1)
        data[at:at] = random_.choice(PIECES)
    return bytes(data)


def test_mutated_json_is_served_or_refused(http: Address) -> None:
    random_ = seeded("mutated-json")
    methods = [
        method
        for spec in SERVICES
        for method in contract_of(spec.name).methods
        if not method.client_streaming and not method.server_streaming
    ]
    connection = HTTPConnection(str(http), timeout=SECONDS)
    seen: set[int] = set()
    for _ in range(REQUESTS):
        method = random_.choice(methods)
        body = mutated(random_, [field.json_name for field in method.input_type.fields])
        path = f"/{method.containing_service.full_name}/{method.name}"
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        seen.add(response.status)
        assert response.status != 500, (method.full_name, body, text)
        if response.status == 200:
            kind = message_factory.GetMessageClass(method.output_type)
            json_format.Parse(text, kind())
    connection.close()
    assert {200, 400} <= seen
