"""`python -m taskgate_server.codegen`: generates the protos of AWS's services from its models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from taskgate_server.aws import model, used_members
from taskgate_server.codegen import baseline, rejections, update
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.baseline import Baseline
from taskgate_server.codegen.contract import UnsupportedModelError
from taskgate_server.codegen.exclusion import Plan, plan, plan_without_problems
from taskgate_server.codegen.lock import Lock
from taskgate_server.codegen.model_changes import AwsModel
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

    The model is botocore's if it is None, and a comment names its source.

    Raises:
        UnsupportedModelError: a part of the model cannot be served; with service, operation and
            reason.
    """
    service = service or model.load_service(spec.name)
    lock = locks.load(_paths(spec, root)[1])
    rejections.check(spec, service, lock.excluded)
    try:
        made = plan(spec, service, lock)
    except UnsupportedModelError as error:  # of several operations together
        raise UnsupportedModelError(f"{spec.name}: {error}") from None
    return _texts(spec, root, made, source)


def generate_update(
    spec: ServiceSpec, root: Path, released: Baseline | None, after: Baseline
) -> tuple[dict[Path, str], list[str]]:
    """Return the files of an update since the last release, and its report; nothing is written.

    Args:
        spec: the service.
        root: the folder of the proto packages.
        released: the last release; None if it does not have the service.
        after: the new model, as compact as that of the release; its lock has no meaning.

    Raises:
        UnsupportedModelError: there is no rule for any operation.
    """
    before = update.Snapshot()
    rpcs = []
    if released is not None:
        known = plan(spec, _service(spec, released.model), released.lock)
        before = update.snapshot(known.contract, known.lock, released.model)
        rpcs = known.contract.rpcs
    service = _service(spec, after.model)
    made = plan_without_problems(spec, service, before.lock, rpcs)
    title = f"{spec.title}, {released.source if released else 'new'} -> {after.source}"
    now = update.snapshot(made.contract, made.lock, after.model)
    return _texts(spec, root, made, after.source), update.report(title, before, now)


def main() -> int:
    """Write the files, or with --check report those that would change; return the exit status."""
    parser = argparse.ArgumentParser(prog="codegen", description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--check", action="store_true", help="write nothing, fail if files would change"
    )
    action.add_argument(
        "--update", action="store_true", help="start from the last release, report what is new"
    )
    action.add_argument(
        "--release", action="store_true", help="write the baseline: this is the last release"
    )
    parser.add_argument(
        "--package", help="the package of a plug-in's AWS service; default: those of Taskgate"
    )
    parser.add_argument("--protos", type=Path, default=Path("protos"), help="default: protos")
    arguments = parser.parse_args()
    root: Path = arguments.protos
    specs = _specs(arguments.package)
    if arguments.release:
        _release(specs, root)
        return 0
    try:
        if arguments.update:
            return _update(specs, root)
        return _generate(specs, root, is_check=arguments.check)
    except UnsupportedModelError as error:
        sys.exit(f"nothing is written, since this cannot be served:\n{error}")


def _specs(package: str | None) -> Sequence[ServiceSpec]:
    """Return the spec of a plug-in's package, or those of Taskgate's own folders."""
    if package is not None:
        return [import_module(f"{package}.spec").SPEC]
    return [spec for spec in SERVICES if not spec.contract]


def _generate(specs: Sequence[ServiceSpec], root: Path, *, is_check: bool) -> int:
    texts = {path: text for spec in specs for path, text in generate(spec, root).items()}
    stale = _stale(texts)
    for path, text in stale.items():
        if not is_check:
            _write(path, text)
        print(f"{'stale' if is_check else 'wrote'}: {path}", file=sys.stderr)  # noqa: T201  # a command's output
    if stale and is_check:
        print("run `make gen` and commit its changes", file=sys.stderr)  # noqa: T201
    faults = _faults(specs, root)
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201
    return 1 if faults or (stale and is_check) else 0


def _faults(specs: Sequence[ServiceSpec], root: Path) -> list[str]:
    """Return what the locks changed since the last release."""
    faults = []
    for spec in specs:
        released = baseline.load(root / baseline.FOLDER, spec.name)
        if released is not None:
            faults += locks.load(_paths(spec, root)[1]).differences(released.lock)
    return faults


def _update(specs: Sequence[ServiceSpec], root: Path) -> int:
    for spec in specs:
        released = baseline.load(root / baseline.FOLDER, spec.name)
        if released is None and _paths(spec, root)[1].exists():
            sys.exit(
                f"{spec.title} has no release to update from: run without --update, which keeps"
                " the lock, or record the present contract as the release with --release"
            )
        texts, lines = generate_update(spec, root, released, _current(spec, Lock()))
        for path, text in _stale(texts).items():
            _write(path, text)
        lines += _unserved(spec)
        print("\n".join(lines))  # noqa: T201
    return 0


def _unserved(spec: ServiceSpec) -> list[str]:
    """Return the lines of a report about members that the server's own code uses."""
    service = model.load_service(spec.name)
    missing = list(used_members.find_missing(service, used_members.load(spec)))
    if not missing:
        return []
    return ["  used by the server, which does not start without:", *(f"    - {e}" for e in missing)]


def _release(specs: Sequence[ServiceSpec], root: Path) -> None:
    for spec in specs:
        released = _current(spec, locks.load(_paths(spec, root)[1]))
        baseline.save(root / baseline.FOLDER, spec.name, released)


def _current(spec: ServiceSpec, lock: Lock) -> Baseline:
    """Return the installed botocore's model of a service, with a lock."""
    described = baseline.compact(model.description(model.load_service(spec.name)))
    found = AwsModel(description=described, pagination=model.paginators(spec.name))
    return Baseline(source=SOURCE, lock=lock, model=found)


def _service(spec: ServiceSpec, found: AwsModel) -> model.ServiceModel:
    return model.ServiceModel(found.description, spec.name)


def _texts(spec: ServiceSpec, root: Path, made: Plan, source: str) -> dict[Path, str]:
    proto_path, lock_path = _paths(spec, root)
    return {
        proto_path: render(made.contract, made.lock, source),
        lock_path: locks.dump(made.lock),
    }


def _stale(texts: Mapping[Path, str]) -> dict[Path, str]:
    """Return the texts of the files that are not up to date."""
    return {
        path: text for path, text in texts.items() if not path.exists() or path.read_text() != text
    }


def _paths(spec: ServiceSpec, root: Path) -> tuple[Path, Path]:
    folder = root.joinpath(*spec.proto_package.split("."))
    return folder / f"{spec.proto_name}.proto", folder / f"{spec.proto_name}.lock.json"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.rename(path)


if __name__ == "__main__":
    sys.exit(main())
