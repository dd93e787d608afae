"""Write the contract for languages without a client: `python clients/contract_bundle.py FOLDER`.

FOLDER gets the `.proto` files with all imports, those of error details and health checks, a
descriptor set (`taskgate.binpb`), the service config of all clients, and a README. A reproducible
`.tar.gz` of it is written beside FOLDER.
"""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata, resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "protos", ROOT / "third_party/googleapis", ROOT / "third_party/grpc")
COPIES = {
    ROOT / "clients/service-config.json": "service-config.json",
    ROOT / "clients/contract_bundle.md": "README.md",
    ROOT / "LICENSE": "LICENSE",
}


def write_bundle(folder: Path) -> Path:
    """Write the bundle and return the path of its archive.

    Raises:
        subprocess.CalledProcessError: buf rejected a file; its message is on stderr.
        FileNotFoundError: an imported file does not exist.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image = folder / "taskgate.binpb"
    buf = Path(sys.executable).with_name("buf")
    command = [str(buf), "build", "--output", str(image)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603  # the buf of this environment
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        target = folder / "protos" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_source(file.name), target)
    for source, name in COPIES.items():
        shutil.copyfile(source, folder / name)
    archive = folder.with_name(f"taskgate-contract-{metadata.version('taskgate')}.tar.gz")
    _pack(folder, archive)
    return archive


def _source(name: str) -> Path:
    # protoc includes google.protobuf, and so does grpcio-tools.
    bundled = Path(str(resources.files("grpc_tools"))) / "_proto"
    for root in (*SOURCES, bundled):
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(name)


def _pack(folder: Path, archive: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = archive.name.removesuffix(".tar.gz")
                entry = tarfile.TarInfo(f"{name}/{path.relative_to(folder)}")
                entry.size, entry.mode = path.stat().st_size, 0o644
                tar.addfile(entry, io.BytesIO(path.read_bytes()))
    archive.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


if __name__ == "__main__":
    sys.stdout.write(f"{write_bundle(Path(sys.argv[1]).resolve())}\n")
