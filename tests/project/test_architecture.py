"""docs/architecture.md is short, and names only files and folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
MAX_LINES = 110
QUESTIONS = 20


def test_the_page_fits_on_two_screens() -> None:
    assert len(PAGE.splitlines()) <= MAX_LINES


def test_the_index_has_twenty_questions_with_a_file_each() -> None:
    index = PAGE.partition("## Twenty questions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+\?) \| `(.+)` \|$", index, re.MULTILINE)
    assert len(set(rows)) == len(index.strip().splitlines()) - 2 == QUESTIONS
    assert [path for _, path in rows if not (ROOT / path).is_file()] == []


def test_every_named_path_exists() -> None:
    without_functions = re.sub(r"(\.py`): `[\w.]+`", r"\1", PAGE)
    named = set(re.findall(r"`([\w./-]+(?:/|\.\w+))`", without_functions))
    linked = {f"docs/{path}" for path in re.findall(r"\]\(([\w./-]+)", PAGE)}
    assert len(named) > QUESTIONS
    # The prose calls the server's folders by their short names.
    roots = (ROOT, ROOT / "server/taskgate_server")
    paths = sorted(named | linked)
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []
