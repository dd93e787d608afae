"""The docs name the metrics that there are, and all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgate_client import connect
from taskgate_emulator import Emulator
from tests.telemetry.scrape import OWN, Place, place
from tests.telemetry.test_metrics import NAME

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()


@pytest.fixture(scope="module")
def observed() -> Iterator[Place]:
    with Emulator() as aws, place(aws.endpoint_url) as observed:
        with connect(observed.address) as caller:
            caller.get_task(NAME)
        yield observed


@pytest.fixture(scope="module")
def types(observed: Place) -> dict[str, str]:
    """Every metric of our own as Prometheus names it, with its type."""
    return {
        name + ("_total" if family.type == "counter" else ""): family.type
        for name, family in observed.families().items()
        if name.startswith(OWN) and not name.endswith("_created")
    }


def documented() -> dict[str, str]:
    table = OPERATIONS.partition("## Metrics")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(taskgate_\w+)` \| (\w+) \|", table, re.MULTILINE))


def test_the_docs_have_every_metric_with_its_type(types: dict[str, str]) -> None:
    assert documented() == types
