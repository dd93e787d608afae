"""The clients' docs say what is so, and the files that must be copies are."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from conformance.cases import load_cases
from conformance.readmes import ECOSYSTEMS, programs_of
from conformance.runners import LANGUAGES
from taskgate_client.writes import READS

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/clients.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
FIRST_CALL_LINES = 10
FRAME = (
    r"(package|import|from|use|func main|async fn main|#\[|\)$|\}$|\"|taskgate\w* \"|Ok\(\(\)\)|$)"
)
"""What every program of a language has: its frame, and its imports."""


def built() -> list[str]:
    """The languages of `make clients`."""
    found = re.search(r"^LANGUAGES := (.*)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    return found[1].split()


def table() -> list[list[str]]:
    part = DOCS.partition("## Features")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| ")
    ]


def test_each_cell_of_the_table_is_a_number_of_cases() -> None:
    head, *rows = table()
    runners = [
        name for each in built() for name in ((each, "asyncio") if each == "python" else (each,))
    ]
    assert head == ["feature", *runners]
    assert set(runners) <= set(LANGUAGES)
    counts = Counter(case.feature for case in load_cases())
    assert rows == [[name, *[str(count)] * len(runners)] for name, count in counts.items()]


@pytest.mark.parametrize("language", built())
def test_a_first_call_takes_at_most_ten_lines(language: str) -> None:
    heading, text = programs_of(ECOSYSTEMS[language])[0]
    assert heading == "First call"
    lines = [line.strip() for line in text.splitlines()]
    code = [line for line in lines if not re.match(FRAME, line)]
    assert 0 < len(code) <= FIRST_CALL_LINES


def test_copied_files_are_equal() -> None:
    config = (ROOT / "clients/service-config.json").read_bytes()
    for language in ("go", "rust"):
        assert (ROOT / f"clients/{language}/service-config.json").read_bytes() == config
    assert (ROOT / "clients/go/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "go/writes.go",
        "java/src/main/java/io/taskgate/client/Writes.java",
        "rust/src/writes.rs",
        "typescript/src/writes.ts",
    ],
)
def test_all_clients_recognize_reads_by_the_same_names(path: str) -> None:
    source = (ROOT / "clients" / path).read_text()
    definition = re.search(r"(?:READS|readPrefixes)\b[^=]*=(.*?)\n\n", source, re.DOTALL)
    assert definition is not None
    assert set(re.findall(r"[A-Z][A-Za-z]+", definition[1].partition("//")[0])) == set(READS)
