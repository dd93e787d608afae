"""`python -m taskgate_server.codegen`: generates the protos of AWS's services from its models."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from taskgate_server.aws import model
from taskgate_server.codegen import collisions, rejections, update
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.contract import UnsupportedModelError, read_contract
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
        UnsupportedModelError: a part of the model cannot be served; with service, operation and
            reason.
    """
    service = service or model.load_service(spec.name)
    rejections.check(spec, service)
    proto_path, lock_path = _paths(spec, root)
    lock = locks.load(lock_path)
    try:
        contract = extend_contract(read_contract(spec, service), lock)
        collisions.check(contract)
    except UnsupportedModelError as error:  # of several operations together
        raise UnsupportedModelError(f"{spec.name}: {error}") from None
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
    parser.add_argument("--protos", type=Path, default=Path("protos"), help="default: protos")
    arguments = parser.parse_args()
    root: Path = arguments.protos
    before = _snapshots(root)
    try:
        stale = _stale(root)
    except UnsupportedModelError as error:
        sys.exit(f"nothing is written, since this cannot be served:\n{error}")
    for path, text in stale.items():
        if not arguments.check:
            _write(path, text)
        print(f"{'stale' if arguments.check else 'wrote'}: {path}", file=sys.stderr)  # noqa: T201  # a command's output
    if arguments.report:
        for (title, old), (_, new) in zip(before, _snapshots(root), strict=True):
            print("\n".join(update.report(title, old, new)))  # noqa: T201
    if stale and arguments.check:
        print("run `make gen` and commit its changes", file=sys.stderr)  # noqa: T201
    return 1 if stale and arguments.check else 0


def _stale(root: Path) -> dict[Path, str]:
    """Return the texts of the files that are not up to date."""
    texts = {path: text for spec in SERVICES for path, text in generate(spec, root).items()}
    return {
        path: text for path, text in texts.items() if not path.exists() or path.read_text() != text
    }


def _snapshots(root: Path) -> list[tuple[str, update.Snapshot]]:
    return [(spec.title, update.read(*_paths(spec, root))) for spec in SERVICES]


def _paths(spec: ServiceSpec, root: Path) -> tuple[Path, Path]:
    folder = root / "taskgate" / spec.proto_name / "v1"
    return folder / f"{spec.proto_name}.proto", folder / f"{spec.proto_name}.lock.json"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.rename(path)


if __name__ == "__main__":
    sys.exit(main())
