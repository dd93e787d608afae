"""Tests share code through tests/support only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SUPPORT = "support"
MODULES = sorted(TESTS.rglob("*.py"))


def imported_names(source: str) -> Iterator[str]:
    """Yield the dotted names below `tests` that a module imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("tests.") for name in names if name.startswith("tests."))


def forbidden_imports(source: str, folder: str) -> list[str]:
    """Return the imports of test modules, and of modules of another folder than `support`."""
    return [
        name
        for name in imported_names(source)
        if name.partition(".")[0] not in {folder, SUPPORT} or is_test_module(name)
    ]


def is_test_module(name: str) -> bool:
    """Return whether a dotted name is a test module or something in it."""
    own = TESTS.joinpath(*name.split(".")).with_suffix(".py")
    return any(
        path.name.startswith("test_") and path.exists()
        for path in (own, own.parent.with_suffix(".py"))
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_module_imports_a_test_module_or_another_folder(path: Path) -> None:
    assert forbidden_imports(path.read_text(), path.relative_to(TESTS).parts[0]) == []


@pytest.mark.parametrize(
    ("source", "is_allowed"),
    [
        ("from tests.support.polling import wait_until", True),
        ("from tests.auth.token_rules import RULES", True),
        ("from tests.auth.test_tokens import RULES", False),
        ("from tests.auth import test_tokens", False),
        ("import tests.auth.test_tokens", False),
        ("def f():\n    from tests.tasks.watch.cancelled import main", False),
        ("from tests.conftest import aws", False),
    ],
)
def test_the_check_recognizes_forbidden_imports(source: str, *, is_allowed: bool) -> None:
    assert (forbidden_imports(source, "auth") == []) is is_allowed
