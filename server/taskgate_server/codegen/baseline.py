"""The contract of the last release, with which a model update is compared.

`protos/baseline` has it: for each AWS service the lock and the model, and buf's image of all
protos, from which `make skew` builds old clients. `make release` writes it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.lock import Lock
from taskgate_server.codegen.model_changes import AwsModel

FOLDER: Final = "baseline"
"""In the folder of the proto packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A service in the last release."""

    source: str
    """The origin of the model, such as `botocore 1.44.5`."""
    lock: Lock
    model: AwsModel
    """Compact."""


def load(folder: Path, name: str) -> Baseline | None:
    """Return a service in the last release; None if that does not have it."""
    path = folder / f"{name}.json.gz"
    if not path.exists():
        return None
    data = json.loads(gzip.decompress(path.read_bytes()))
    return Baseline(
        source=data["source"],
        lock=locks.parse(json.dumps(data["lock"])),
        model=AwsModel(description=data["model"], pagination=data["pagination"]),
    )


def save(folder: Path, name: str, baseline: Baseline) -> None:
    """Write a service of a release."""
    data = {
        "source": baseline.source,
        "lock": json.loads(locks.dump(baseline.lock)),
        "model": baseline.model.description,
        "pagination": baseline.model.pagination,
    }
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def compact(value: Any) -> Any:
    """Return a model with a digest in the place of each text of AWS's documentation."""
    if isinstance(value, Mapping):
        return {
            key: _digest(each) if key in _TEXTS and isinstance(each, str) else compact(each)
            for key, each in value.items()
        }
    return [compact(each) for each in value] if isinstance(value, list) else value


_TEXTS = frozenset({"documentation", "deprecatedMessage"})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
