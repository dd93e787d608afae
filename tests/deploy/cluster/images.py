"""The sandbox image, and what a pod's network lives in, as archives that containerd imports.

    python -m tests.deploy.cluster.images FOLDER PAUSE

PAUSE is the program of that name which build-kubernetes has made. They are left where they are as
long as nothing that goes into them has changed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.deploy.image.engine import ROOT, Engine

SANDBOX = "docker.io/library/taskgate-sandbox:0.1.0"
"""What values-sandbox.yaml names, as Kubernetes writes it out."""
PAUSE = "localhost/pause:1"
BASE = "localhost/base:1"
INPUTS = (
    *("Dockerfile", "requirements*.txt", "pyproject.toml", "hatch_build.py", "README.md"),
    *("CHANGELOG.md", "LICENSE", "protos", "third_party", "emulator", "server", "clients/python"),
    *(
        "deploy/image",
        "tests/deploy/image/debian.py",
        "tests/deploy/image/engine.py",
        "tests/deploy/cluster/images.py",
    ),
)
"""What the Dockerfile copies, and what builds it."""


def key() -> str:
    """Of all that goes into the images."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *INPUTS],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.decode().split("\0"))):
        if (ROOT / name).is_file():
            content = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def build(folder: Path, pause: Path) -> None:
    """Builds what is not there, or not any more what it would be."""
    stamp = folder / "key"
    wanted = key()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # The engine's sockets have to have short paths.
    scratch = Path(tempfile.mkdtemp(prefix="cluster-"))
    engine = Engine(scratch)
    try:
        with tarfile.open(scratch / "pause.tar", "w") as tar:
            tar.add(pause, arcname="pause")
        engine.run("import", "--change", 'ENTRYPOINT ["/pause"]', str(scratch / "pause.tar"), PAUSE)
        engine.make_base(BASE)
        engine.build(SANDBOX, BASE, "--build-arg", "PINS=requirements.txt")
        for name, tag in (("sandbox", SANDBOX), ("pause", PAUSE)):
            engine.run("save", "--output", str(folder / f"{name}.tar"), tag, timeout=300)
    finally:
        engine.close()
    stamp.write_text(wanted)


if __name__ == "__main__":
    build(*(Path(each).resolve() for each in sys.argv[1:]))
