"""Every AWS service of botocore is served as boto3 serves it, or rejected with a reason.

`make test` takes a sample with every feature that few services have; `make all-services` takes all.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path

import pytest

from tests.codegen.all_services import contracts
from tests.codegen.all_services.check import OPERATIONS, Checked, check

pytestmark = pytest.mark.long

GOLDEN = Path(__file__).parent / "rejected.json"
UPDATE = os.environ.get("UPDATE_REJECTED") == "1"

SAMPLE = {
    "account-access-runtime": "a bearer token instead of a signature",
    "accessanalyzer": "a union with a member `value`",
    "acm": "an enum with a word `UNSPECIFIED`",
    "appconfig": "labels that are integers, and a payload of bytes",
    "connect": "labels that are long integers",
    "dynamodb": "the JSON protocol, recursive unions, and a map of them",
    "iot-data": "JSON in headers",
    "lambda": "a keyword of Python as a name, an event stream and many payloads",
    "mediastore-data": "a label of several segments, and streamed payloads",
    "neptune-graph": "labels of the host",
    "networkmanager": "JSON in a text of the body",
    "sqs": "the JSON protocol with errors of the query protocol",
    "sts": "the query protocol",
}
"""Service -> what it is an example of."""
SAMPLE_OPERATIONS = 6

REFUSED_BY_BOTO3 = {
    "cloudfront-keyvaluestore": "the host is derived from an ARN, which random texts are not",
}
"""Service -> why boto3 refuses all its requests here."""

ALL = os.environ.get("ALL_SERVICES") == "1"
NAMES = contracts.service_names() if ALL else sorted(SAMPLE)
SERVICES_OF_A_PROCESS = 15
"""Imported contracts stay in a process, so it is replaced before it has too many."""


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    """Yield a pool of one process; it starts from nothing, without the state of this one."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=SERVICES_OF_A_PROCESS) as pool:
        yield pool


@pytest.fixture(scope="module")
def totals() -> Iterator[Counter[str]]:
    """Yield what is counted over all services; it is printed at the end (`pytest -s`)."""
    counts: Counter[str] = Counter()
    yield counts
    sys.stdout.write("\n" + "".join(f"{name}: {count}\n" for name, count in counts.items()))


@pytest.mark.parametrize("name", NAMES)
def test_service_is_equal_to_boto3_or_rejected(
    name: str, processes: Pool, totals: Counter[str]
) -> None:
    count = OPERATIONS if ALL else SAMPLE_OPERATIONS
    checked = processes.apply(check, (name, count))
    if UPDATE:
        write_golden(name, checked)
    result = checked.result
    totals["services"] += 1
    totals["rejected services"] += bool(checked.rejected.service)
    totals["rejected operations of other services"] += len(checked.rejected.operations)
    totals["operations compared"] += result.operations
    totals["requests compared"] += result.requests
    totals["responses compared"] += result.responses
    totals["responses with the text of a number"] += result.number_texts
    totals["requests beyond the limit of values"] += result.too_large
    totals["refused by boto3"] += len(result.refused_by_boto3)
    totals["unequal"] += len(result.unequal)
    assert described(checked) == load_golden().get(name, {})
    assert result.unequal == []
    assert checked.rejected.service or result.requests or name in REFUSED_BY_BOTO3


def described(checked: Checked) -> dict[str, str]:
    """Return the rejected operations and the reasons; `*` is the whole service."""
    if checked.rejected.service:
        return {"*": checked.rejected.service}
    return dict(checked.rejected.operations)


def load_golden() -> dict[str, dict[str, str]]:
    golden: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text())
    return golden


def write_golden(name: str, checked: Checked) -> None:
    golden = {**load_golden(), name: described(checked)}
    kept = {each: reasons for each, reasons in sorted(golden.items()) if reasons}
    GOLDEN.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
