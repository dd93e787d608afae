"""The whole contract of a toy, as it is committed, through every change that a model can have.

When a change is meant: `python -m tests.codegen.update` from the root, and read the diff.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from taskgate_server.codegen.__main__ import generate
from tests.codegen.buf import Module
from tests.codegen.toy import GOLDEN, SPEC, Version, description, generated, service_of, versions

NAMES = [version.name for version in versions()]


def golden() -> dict[str, dict[str, str]]:
    return {
        folder.name: {path.name: path.read_text() for path in folder.iterdir()}
        for folder in GOLDEN.iterdir()
    }


def test_each_version_is_byte_for_byte_the_golden_one(tmp_path: Path) -> None:
    expected = golden()
    assert sorted(expected) == sorted(NAMES)
    for version, files in generated(tmp_path):
        assert files == expected[version.name], version.name


def test_generating_a_version_again_changes_nothing(tmp_path: Path) -> None:
    for version, files in generated(tmp_path):
        again = generated_on(tmp_path, version)
        assert again == files, version.name


def generated_on(root: Path, version: Version) -> dict[str, str]:
    files = generate(SPEC, root, version.service, f"toy {version.name}")
    return {path.name: text for path, text in files.items()}


@pytest.mark.parametrize("name", NAMES)
def test_buf_finds_nothing_to_lint_or_to_format(name: str, modules: dict[str, Module]) -> None:
    assert modules[name].run("lint") == ""
    assert modules[name].run("format", "--diff") == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [*itertools.pairwise(NAMES), *((name, NAMES[-1]) for name in NAMES[:-2])],
)
def test_no_version_breaks_an_earlier_one(
    before: str, after: str, modules: dict[str, Module]
) -> None:
    against = str(modules[before].folder)
    assert modules[after].run("breaking", "--against", against) == ""


def test_a_contract_without_imports_is_formatted(tmp_path: Path) -> None:
    ping = {"Ping": description()["operations"]["Ping"]}
    service = service_of({**description(), "operations": ping})
    proto, _ = generate(SPEC, tmp_path / "none", service, "toy").values()
    assert "import" not in proto
    assert Module(tmp_path, proto).run("format", "--diff") == ""
