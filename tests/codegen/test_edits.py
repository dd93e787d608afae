"""An update after each kind of edit of a model: its report, and what old clients see.

The reports are in `edits.txt`. When a change is intended: `python -m tests.codegen.update` from
the root, and read the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.__main__ import generate
from taskgate_server.codegen.baseline import load, save
from tests.codegen.edit_reports import golden, released, updated
from tests.codegen.edits import EDITS, edited
from tests.codegen.toy import SPEC, service_of
from tests.codegen.wire import Compiled, wire_faults

NO_CHANGES = {
    "members in another order",
    "enum values in another order",
    "constrained text renamed",
    "request shape renamed",
    "structure split",
    "minimum of 0 added to a length",
}
"""What callers and operators cannot notice."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    proto, *_ = updated(lambda toy: toy)
    return Compiled(tmp_path_factory.mktemp("old"), proto)


def test_every_edit_has_its_report() -> None:
    assert list(golden()) == list(EDITS)


@pytest.mark.parametrize("name", EDITS)
def test_report_of_an_edit(name: str) -> None:
    title, *lines = updated(EDITS[name])[2]
    assert title == "Toy, 1 -> 2:"
    assert lines == golden()[name]
    assert (lines == ["  no changes"]) == (name in NO_CHANGES)


@pytest.mark.parametrize("name", EDITS)
def test_old_clients_read_all_that_they_know(name: str, old: Compiled, tmp_path: Path) -> None:
    proto, lock, _ = updated(EDITS[name])
    assert wire_faults(old, Compiled(tmp_path, proto)) == []
    assert locks.parse(lock).differences(released().lock) == []


@pytest.mark.parametrize("name", EDITS)
def test_generating_again_changes_nothing(name: str, tmp_path: Path) -> None:
    texts = updated(EDITS[name])[:2]
    paths = [tmp_path / "taskgate/toy/v1" / name for name in ("toy.proto", "toy.lock.json")]
    paths[0].parent.mkdir(parents=True)
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    model = edited(EDITS[name]).description
    again = generate(SPEC, tmp_path, service_of(dict(model)), "2")
    assert [again[path] for path in paths] == list(texts)


def test_lost_numbers_are_detected(old: Compiled, tmp_path: Path) -> None:
    proto, *_ = updated(lambda toy: toy)
    swapped = proto.replace("optional string text = 1;", "optional string text = 99;", 1)
    assert wire_faults(old, Compiled(tmp_path, swapped)) != []


def test_release_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(tmp_path, SPEC.name, released())
    assert load(tmp_path, SPEC.name) == released()
    assert load(tmp_path, "other") is None
