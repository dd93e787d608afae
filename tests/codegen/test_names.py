"""Names that would collide in protobuf or Python differ from AWS's, and are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from taskgate_server.codegen.__main__ import generate
from tests.codegen.buf import Module
from tests.codegen.toy import SPEC, Description, description, service_of


def proto_of(described: Description, root: Path, name: str = "toy") -> str:
    files = generate(replace(SPEC, name=name), root / "none", service_of(described), "toy")
    return next(text for path, text in files.items() if path.suffix == ".proto")


@pytest.mark.parametrize(
    ("name", "proto_name", "go_name"),
    [
        ("deadline", "deadline", "deadlinev1"),
        ("application-autoscaling", "application_autoscaling", "applicationautoscalingv1"),
        ("lambda", "aws_lambda", "awslambdav1"),
    ],
)
def test_package_is_a_valid_name(name: str, proto_name: str, go_name: str, tmp_path: Path) -> None:
    spec = replace(SPEC, name=name)
    assert spec.proto_package == f"taskgate.{proto_name}.v1"
    assert spec.contract_module == f"taskgate.{proto_name}.v1.{proto_name}_pb2"
    proto, lock = generate(spec, tmp_path, service_of(description()))
    assert proto == tmp_path / "taskgate" / proto_name / "v1" / f"{proto_name}.proto"
    assert lock.name == f"{proto_name}.lock.json"
    text = proto_of(description(), tmp_path, name)
    assert f"package taskgate.{proto_name}.v1;" in text
    assert f"/gen/{proto_name}/v1;{go_name}" in text
    assert f'java_package = "io.taskgate.{proto_name}.v1"' in text


def test_rpc_may_have_the_name_of_a_message(tmp_path: Path) -> None:
    described = description()
    for name in ("PingRequest", "PingResponse"):
        described["operations"][name] = {**described["operations"]["Ping"], "name": name}
    proto = proto_of(described, tmp_path)
    assert "rpc Ping(.taskgate.toy.v1.PingRequest) returns (.taskgate.toy.v1.PingResponse)" in proto
    module = Module(tmp_path, proto)
    module.image()
    assert module.run("format", "--diff") == ""


def test_enum_may_have_the_word_unspecified(tmp_path: Path) -> None:
    described = description()
    described["shapes"]["Grade"]["enum"].append("unspecified")
    proto = proto_of(described, tmp_path)
    assert "  GRADE_UNSPECIFIED = 0;" in proto
    assert "  // unspecified\n  GRADE_UNSPECIFIED_VALUE = " in proto
    module = Module(tmp_path, proto)
    assert module.run("lint") == ""


def test_union_may_have_a_member_value(tmp_path: Path) -> None:
    described = description()
    described["shapes"]["Choice"]["members"]["value"] = {"shape": "Text"}
    proto = proto_of(described, tmp_path)
    assert "  oneof member {" in proto
    assert " string value = " in proto
    module = Module(tmp_path, proto)
    assert module.run("lint") == ""
    module.image()


def test_enum_of_a_member_is_apart_from_the_text_that_others_share(tmp_path: Path) -> None:
    described = description()
    members = described["shapes"]["Nested"]["members"]
    members |= {
        "format": {"shape": "Text", "enum": ["YAML", "JSON"]},
        "edition": {"shape": "Text", "enum": ["OAS30"]},
        "plainText": {"shape": "Text"},
    }
    proto = proto_of(described, tmp_path)
    assert "  optional NestedFormat format = " in proto
    assert "  NESTED_FORMAT_YAML = 1;" in proto
    assert "  optional NestedEdition edition = " in proto
    assert "  NESTED_EDITION_OAS30 = 1;" in proto
    assert "  optional string plain_text = " in proto
