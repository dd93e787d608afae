"""The OpenAPI document of a server with a plug-in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

PROGRAM = """
import sys
from taskgate_server.http import idempotency, openapi
from taskgate_server.rpc.handlers import load_contract
from taskgate_server.services.registry import select
[spec] = select(["batch"])
made = openapi.document([load_contract(spec)], "1.2.3", idempotency.is_safe)
sys.stdout.buffer.write(openapi.serialize(made))
"""


def test_document_has_the_operations_of_the_plug_in(installed: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=installed,
        capture_output=True,
        timeout=60,
        check=True,
    )
    document = json.loads(done.stdout)
    submit = document["paths"]["/taskgate_batch.v1.BatchService/SubmitJob"]["post"]
    assert submit["description"].startswith("POST /v1/submitjob")  # the comments are there, too
    request = document["components"]["schemas"]["taskgate_batch.v1.SubmitJobRequest"]
    assert request["required"] == ["jobName", "jobQueue", "jobDefinition"]
    assert request["properties"]["retryStrategy"]["$ref"].endswith("RetryStrategy-Input")
