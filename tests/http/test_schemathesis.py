"""Schemathesis calls what the OpenAPI document describes, and compares the responses with it.

By default all of TaskService and a sample of AWS's operations; `make openapi-test` has all of them,
with more requests of each.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from taskgate_server.ports import Address
from tests.support.openapi_document import UNARY, path_of
from tests.support.running_server import running_app, settings_for
from tests.support.seeds import IS_RANDOM_RUN, SEED

pytestmark = pytest.mark.long

ST = Path(__file__).parents[2] / ".venv-tools/schemathesis/bin/st"

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES") or 0)
"""Requests of each operation and method, of all operations; a sample by default."""

SAMPLED = 40
"""One AWS operation in this many."""
SAMPLE_EXAMPLES = 2

MAX_LINE = 1_000
MAX_LINES = 300
"""Of what Schemathesis prints, in the message of a failure."""

SECONDS = 3600 if EXAMPLES else 240

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
CONFIGURATION = """
[checks.not_a_server_error]
# Not in the emulator; AWS cannot be called; a deadline of the request.
expected-statuses = ["2xx", "4xx", "501", "503", "504"]

[parameters]
# There is no other target: hardly a call would pass.
"header.taskgate-target" = "default"
"""


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def http(aws: Emulator, log: io.StringIO) -> Iterator[Address]:
    """Return the address of a server for HTTP, whose log is `log`."""
    with running_app(settings_for(aws.endpoint_url, http_port=0), log) as (app, _):
        assert app.server.http_address is not None
        yield app.server.http_address


def included() -> list[str]:
    paths = [path_of(method) for method in UNARY]
    if EXAMPLES:
        return paths
    unified = [path for path in paths if "TaskService" in path]
    native = [path for path in paths if path not in unified]
    return [*unified, *native[::SAMPLED]]


def test_responses_are_as_documented(http: Address, log: io.StringIO, tmp_path: Path) -> None:
    assert ST.exists(), "make .venv-tools/schemathesis/stamp installs Schemathesis"
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    seed = ("--seed", str(SEED)) if IS_RANDOM_RUN else ("--generation-deterministic",)
    done = subprocess.run(
        [
            *(ST, "--config-file", configuration, "run", f"http://{http}/openapi.json"),
            *("--phases", "fuzzing", "--mode", "all", "--checks", ",".join(CHECKS)),
            *("--max-examples", str(EXAMPLES or SAMPLE_EXAMPLES), *seed),
            *("--continue-on-failure", "--no-color", "--warnings", "off"),
            # Large messages take long to generate.
            *("--suppress-health-check", "all"),
            *(argument for path in included() for argument in ("--include-path", path)),
        ],
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    # Generated URLs may have 100,000 characters.
    lines = [line[:MAX_LINE] for line in done.stdout.splitlines()]
    assert done.returncode == 0, "\n".join([*lines[-MAX_LINES:], done.stderr])

    calls = [json.loads(line) for line in log.getvalue().splitlines() if '"call"' in line]
    codes = Counter(call["code"] for call in calls if call["message"] == "call")
    # Neither are all requests refused, nor does the server fail.
    assert {"OK", "NOT_FOUND", "INVALID_ARGUMENT"} <= codes.keys(), codes
    assert not codes.keys() & {"INTERNAL", "UNKNOWN"}, codes
