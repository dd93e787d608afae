"""An update after each kind of edit of a model: its report, and what old clients see.

The reports are in `edits.txt`. When a change is intended: `python -m tests.codegen.update` from
the root, and read the diff.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.__main__ import generate, generate_update
from taskgate_server.codegen.baseline import Baseline, load, save
from taskgate_server.codegen.lock import Lock
from taskgate_server.codegen.model_changes import AwsModel
from tests.codegen.edits import EDITS, Edit, edited, first
from tests.codegen.toy import SPEC, service_of
from tests.codegen.wire import Compiled, wire_faults

GOLDEN = Path(__file__).with_name("edits.txt")
ROOT = Path("protos")
NO_CHANGES = {
    "members in another order",
    "enum values in another order",
    "constrained text renamed",
    "request shape renamed",
    "structure split",
}
"""What callers and operators cannot notice."""


@cache
def released() -> Baseline:
    """Return the first model as a release."""
    model = AwsModel(description=first().model, pagination=first().pages)
    new = Baseline(source="", lock=Lock(), model=model)
    _, lock = generate_update(SPEC, ROOT, None, new)[0].values()
    return Baseline(source="1", lock=locks.parse(lock), model=model)


@cache
def updated(edit: Edit) -> tuple[str, str, list[str]]:
    """Return the proto, the lock and the report after an edit."""
    after = Baseline(source="2", lock=Lock(), model=edited(edit))
    texts, lines = generate_update(SPEC, ROOT, released(), after)
    proto, lock = texts.values()
    return proto, lock, lines


def reports() -> str:
    """Return the content of the golden file."""
    return "\n".join(
        f"# {name}\n" + "\n".join(updated(edit)[2][1:]) + "\n" for name, edit in EDITS.items()
    )


def golden() -> dict[str, list[str]]:
    parts = (part.rstrip("\n").split("\n") for part in GOLDEN.read_text().split("# ")[1:])
    return {name: lines for name, *lines in parts}


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
