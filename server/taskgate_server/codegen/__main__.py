"""`python -m taskgate_server.codegen [--check]`: botocore's models and the locks -> protos/."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from taskgate_server.aws import model
from taskgate_server.aws.services import SERVICES, ServiceSpec
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.contract import read_contract
from taskgate_server.codegen.render import render


def generate(spec: ServiceSpec, root: Path) -> dict[Path, str]:
    """The text of the service's proto and lock files under `root`, written nowhere yet."""
    folder = root / "taskgate" / spec.name / "v1"
    lock_path = folder / f"{spec.name}.lock.json"
    contract = read_contract(spec, model.load_service(spec.name))
    lock = locks.load(lock_path)
    lock.settle(contract)
    return {folder / f"{spec.name}.proto": render(contract, lock), lock_path: locks.dump(lock)}


def main() -> int:
    """Writes the files, or with --check tells which of them would change."""
    parser = argparse.ArgumentParser(prog="codegen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--protos", type=Path, default=Path("protos"), help="default: protos")
    arguments = parser.parse_args()
    stale = []
    for spec in SERVICES:
        for path, text in generate(spec, arguments.protos).items():
            if path.exists() and path.read_text() == text:
                continue
            stale.append(path)
            if not arguments.check:
                _write(path, text)
    for path in stale:
        print(f"{'stale' if arguments.check else 'wrote'}: {path}", file=sys.stderr)  # noqa: T201  # a command's output
    if stale and arguments.check:
        print("run `make gen` and commit what it changes", file=sys.stderr)  # noqa: T201
    return 1 if stale and arguments.check else 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.rename(path)


if __name__ == "__main__":
    sys.exit(main())
