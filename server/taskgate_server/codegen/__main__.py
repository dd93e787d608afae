"""`python -m taskgate_server.codegen`: generates the protos of AWS's services from its models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from taskgate_server.aws import model
from taskgate_server.codegen import collisions, update
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.contract import read_contract
from taskgate_server.codegen.history import extend_contract
from taskgate_server.codegen.render import render
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

SOURCE = f"botocore {model.BOTOCORE_VERSION}"


def generate(
    spec: ServiceSpec,
    root: Path,
    service: model.ServiceModel | None = None,
    source: str = SOURCE,
) -> dict[Path, str]:
    """Return the texts of a service's proto and lock files by path; nothing is written.

    Args:
        spec: the service.
        root: the folder of the proto packages.
        service: the model; None for botocore's.
        source: the origin of the model, for a comment.

    Raises:
        UnsupportedModelError: there is no rule for a part of the model.
    """
    proto_path, lock_path = _paths(spec, root)
    lock = locks.load(lock_path)
    contract = extend_contract(read_contract(spec, service or model.load_service(spec.name)), lock)
    collisions.check(contract)
    lock.update(contract)
    return {proto_path: render(contract, lock, source), lock_path: locks.dump(lock)}


def main() -> int:
    """Write the files, or with --check report those that would change; return the exit status."""
    parser = argparse.ArgumentParser(prog="codegen", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if files would change"
    )
    parser.add_argument(
        "--report", action="store_true", help="print the differences to the previous contract"
    )
    parser.add_argument(
        "--package", help="the package of a plug-in's AWS service; default: those of Taskgate"
    )
    parser.add_argument("--protos", type=Path, default=Path("protos"), help="default: protos")
    arguments = parser.parse_args()
    root: Path = arguments.protos
    specs = _specs(arguments.package)
    before = _snapshots(specs, root)
    stale = _stale(specs, root)
    for path, text in stale.items():
        if not arguments.check:
            _write(path, text)
        print(f"{'stale' if arguments.check else 'wrote'}: {path}", file=sys.stderr)  # noqa: T201  # a command's output
    if arguments.report:
        for (title, old), (_, new) in zip(before, _snapshots(specs, root), strict=True):
            print("\n".join(update.report(title, old, new)))  # noqa: T201
    if stale and arguments.check:
        print("run `make gen` and commit its changes", file=sys.stderr)  # noqa: T201
    return 1 if stale and arguments.check else 0


def _specs(package: str | None) -> Sequence[ServiceSpec]:
    """Return the spec of a plug-in's package, or those of Taskgate's own folders."""
    if package is not None:
        return [import_module(f"{package}.spec").SPEC]
    return [spec for spec in SERVICES if not spec.contract]


def _stale(specs: Sequence[ServiceSpec], root: Path) -> dict[Path, str]:
    """Return the texts of the files that are not up to date."""
    texts = {path: text for spec in specs for path, text in generate(spec, root).items()}
    return {
        path: text for path, text in texts.items() if not path.exists() or path.read_text() != text
    }


def _snapshots(specs: Sequence[ServiceSpec], root: Path) -> list[tuple[str, update.Snapshot]]:
    return [(spec.title, update.read(*_paths(spec, root))) for spec in specs]


def _paths(spec: ServiceSpec, root: Path) -> tuple[Path, Path]:
    folder = root.joinpath(*spec.proto_package.split("."))
    return folder / f"{spec.name}.proto", folder / f"{spec.name}.lock.json"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.rename(path)


if __name__ == "__main__":
    sys.exit(main())
