"""Updates of the toy after an edit of its model, and the golden file of their reports."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.__main__ import generate_update
from taskgate_server.codegen.baseline import Baseline
from taskgate_server.codegen.lock import Lock
from taskgate_server.codegen.model_changes import AwsModel
from tests.codegen.edits import EDITS, Edit, edited, first
from tests.codegen.toy import SPEC

GOLDEN = Path(__file__).with_name("edits.txt")
ROOT = Path("protos")


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
