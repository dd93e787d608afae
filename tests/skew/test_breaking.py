"""`buf breaking` of the present contract against the old one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

from tests.skew.old_contract import IMAGE, descriptors

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")


def breaking(image: Path) -> tuple[int, str]:
    command = [str(BUF), "breaking", "protos", "--against", str(image)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_nothing_is_broken() -> None:
    assert breaking(IMAGE) == (0, "")


def test_buf_detects_a_breaking_change(tmp_path: Path) -> None:
    image = descriptors()
    file = next(file for file in image.file if file.service)
    field = next(field for message in file.message_type for field in message.field)
    field.type = descriptor_pb2.FieldDescriptorProto.TYPE_FIXED64
    path = tmp_path / "image.binpb"
    path.write_bytes(image.SerializeToString())
    status, output = breaking(path)
    assert status != 0
    assert "fixed64" in output
