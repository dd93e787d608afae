"""Updates the contract from earlier versions of botocore to the installed one.

usage: python -m tests.codegen.updates FOLDER VERSION..., called by `make update-test`

For each version: its contract is generated anew, updated, and both are compared on the wire. FOLDER
gets the versions of botocore. `make test` does the same with edits of a small model.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from taskgate_server.aws import model
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.__main__ import generate_update
from taskgate_server.codegen.baseline import Baseline, compact
from taskgate_server.codegen.lock import Lock
from taskgate_server.codegen.model_changes import AwsModel
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from tests.codegen.wire import Compiled, wire_faults

UV = Path(sys.executable).with_name("uv")
ROOT = Path("protos")


def main() -> int:
    """Return the exit status: 1 if an update is not compatible."""
    folder = Path(sys.argv[1])
    status = 0
    for version in sys.argv[2:]:
        path = folder / version
        install(path, version)
        for spec in SERVICES:
            if not spec.contract:
                faults = try_update(spec, path, version)
                status = 1 if faults else status
    return status


def install(folder: Path, version: str) -> None:
    """Install a version of botocore in a folder of its own."""
    if (folder / "botocore").exists():
        return
    options = ("--no-deps", "--target", str(folder), "--python", sys.executable)
    subprocess.run((str(UV), "pip", "install", "-q", *options, f"botocore=={version}"), check=True)


def stored(folder: Path, service: str, kind: str) -> dict[str, Any]:
    """Return a file of a service's latest API in a folder with botocore."""
    path = max((folder / "botocore/data" / service).glob(f"*/{kind}.json*"))
    data = path.read_bytes()
    loaded: dict[str, Any] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    return loaded


def try_update(spec: ServiceSpec, folder: Path, version: str) -> list[str]:
    """Update a service's contract, print what is new, and return what is not compatible."""
    began = time.monotonic()
    old = AwsModel(
        description=compact(stored(folder, spec.name, "service-2")),
        pagination=stored(folder, spec.name, "paginators-1")["pagination"],
    )
    new = AwsModel(
        description=compact(model.description(model.load_service(spec.name))),
        pagination=model.paginators(spec.name),
    )
    first = Baseline(source=version, lock=Lock(), model=old)
    before, old_lock = generate_update(spec, ROOT, None, first)[0].values()
    released = Baseline(source=version, lock=locks.parse(old_lock), model=old)
    latest = Baseline(source=model.BOTOCORE_VERSION, lock=Lock(), model=new)
    texts, report = generate_update(spec, ROOT, released, latest)
    after, new_lock = texts.values()
    with tempfile.TemporaryDirectory() as place:
        contracts = [Path(place) / name for name in ("old", "new")]
        for path in contracts:
            path.mkdir()
        compiled = Compiled(contracts[0], before), Compiled(contracts[1], after)
        faults = wire_faults(*compiled)
    faults += locks.parse(new_lock).differences(released.lock)
    counts = Counter(line.strip()[0] for line in report[1:])
    shown = ", ".join(f"{counts[sign]} {sign}" for sign in "+-~!")
    seconds = time.monotonic() - began
    print(f"{report[0]} {shown}; {len(faults)} faults, {seconds:.1f} s")  # noqa: T201  # a command's output
    print(*report[1:], *(f"  NOT COMPATIBLE {fault}" for fault in faults), sep="\n")  # noqa: T201
    return faults


if __name__ == "__main__":
    sys.exit(main())
