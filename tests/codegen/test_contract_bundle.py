"""What languages without a client are given is whole, and the same each time."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from contract_bundle import write_bundle
from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_service_pb2

SERVICES = [
    service
    for module in (task_service_pb2, deadline_pb2, omics_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "contract"
    write_bundle(folder)
    return folder


def test_descriptor_set_is_complete(bundle: Path) -> None:
    image = FileDescriptorSet.FromString((bundle / "taskgate.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in image.file:
        pool.Add(file)  # which refuses one whose imports are not there
    for service in SERVICES:
        found = pool.FindServiceByName(service.full_name)
        assert found.methods_by_name.keys() == service.methods_by_name.keys()
    for name in ("google/rpc/error_details.proto", "grpc/health/v1/health.proto"):
        assert pool.FindFileByName(name).name == name


@pytest.mark.parametrize("source", ["--proto_path=protos", "--descriptor_set_in=taskgate.binpb"])
def test_stubs_can_be_generated_from_the_bundle_alone(
    bundle: Path, tmp_path: Path, source: str
) -> None:
    files = sorted(
        str(path.relative_to(bundle / "protos")) for path in (bundle / "protos").rglob("*.proto")
    )
    # As a program of its own, in a folder that has nothing else: `python -m grpc_tools.protoc`
    # would add files that it brings.
    program = "import sys; from grpc_tools import protoc; sys.exit(protoc.main(sys.argv))"
    outputs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", program, source, *outputs, *files],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "taskgate/v1/task_service_pb2_grpc.py").is_file()


def test_bundle_is_reproducible(bundle: Path, tmp_path: Path) -> None:
    first = next(bundle.parent.glob("*.tar.gz"))
    again = write_bundle(tmp_path / "contract")
    assert again.read_bytes() == first.read_bytes()
    with tarfile.open(first) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"README.md", "LICENSE", "service-config.json", "taskgate.binpb"} <= names
    assert {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} == names
