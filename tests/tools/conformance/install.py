"""Build Connect's conformance runner, and copy its protos: `python install.py FOLDER`.

Pinned by go.mod and go.sum. Needs Go, and any Python. https://github.com/connectrpc/conformance
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = "connectrpc.com/conformance"
RUNNER = "connectconformance"


def main() -> int:
    """Return the exit status: 1 if Go is missing and CI=true, where nothing may be left out."""
    folder = Path(sys.argv[1]).resolve()
    go = shutil.which("go")
    if go is None:
        sys.stderr.write(f"left out: {RUNNER}, since go is not installed\n")
        return int(os.environ.get("CI") == "true")
    folder.mkdir(parents=True, exist_ok=True)
    runner, package = str(folder / RUNNER), f"{MODULE}/cmd/{RUNNER}"
    build = [go, "build", "-trimpath", "-mod=readonly", "-o", runner, package]
    subprocess.run(build, cwd=HERE, check=True)
    find = [go, "list", "-m", "-f", "{{.Dir}}", MODULE]
    found = subprocess.run(find, cwd=HERE, check=True, capture_output=True, text=True)
    protos = folder / "proto"
    shutil.rmtree(protos, ignore_errors=True)
    # Go's cache of modules is read-only, and a copy that is cannot be replaced.
    shutil.copytree(Path(found.stdout.strip()) / "proto", protos, copy_function=shutil.copyfile)
    for path in [protos, *protos.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return 0


if __name__ == "__main__":
    sys.exit(main())
