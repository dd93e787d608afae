"""What cannot be served is rejected with operation and reason, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgate_server.codegen import __main__ as codegen
from taskgate_server.codegen import rejections
from taskgate_server.codegen.__main__ import generate
from taskgate_server.codegen.contract import UnsupportedModelError
from taskgate_server.codegen.exclusion import plan_without_problems
from taskgate_server.codegen.lock import Lock, dump
from tests.codegen.toy import SPEC, Description, description, service_of


def with_event_stream() -> Description:
    described = description()
    shapes = described["shapes"]
    shapes["Events"] = {"type": "structure", "members": {}, "eventstream": True}
    shapes["GetThingResponse"]["members"]["events"] = {"shape": "Events"}
    return described


@pytest.mark.parametrize("protocol", ["query", "ec2", "rest-xml", "smithy-rpc-v2-cbor"])
def test_protocol_that_is_not_json_is_rejected(protocol: str, tmp_path: Path) -> None:
    described = description()
    described["metadata"] |= {"protocol": protocol, "protocols": [protocol]}
    with pytest.raises(UnsupportedModelError, match=f"toy: all operations: .* {protocol}, only"):
        generate(SPEC, tmp_path, service_of(described))
    assert not list(tmp_path.iterdir())


def test_service_with_json_beside_another_protocol_is_served(tmp_path: Path) -> None:
    described = description()
    described["metadata"]["protocols"] = ["smithy-rpc-v2-cbor", "json"]
    assert generate(SPEC, tmp_path, service_of(described))


def test_service_with_bearer_tokens_is_rejected(tmp_path: Path) -> None:
    described = description()
    described["metadata"]["signatureVersion"] = "bearer"
    with pytest.raises(UnsupportedModelError, match=r"toy: all operations: .* bearer token"):
        generate(SPEC, tmp_path, service_of(described))


def test_rejection_names_service_operation_reason_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError) as raised:
        generate(SPEC, tmp_path, service_of(with_event_stream()))
    fault, remedy = str(raised.value).splitlines()
    assert fault == "toy: GetThing: GetThingResponse.events: no rule for the event stream Events"
    assert "codegen --update" in remedy
    assert not list(tmp_path.iterdir())


def test_operation_that_the_lock_excludes_is_not_in_the_contract(tmp_path: Path) -> None:
    service = service_of(with_event_stream())
    made = plan_without_problems(SPEC, service, Lock())
    lock = tmp_path / "taskgate" / "toy" / "v1" / "toy.lock.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(dump(made.lock))
    proto, _ = generate(SPEC, tmp_path, service).values()
    assert "rpc GetThing(" not in proto
    assert "message GetThingResponse" not in proto
    assert "rpc Ping(" in proto


def test_update_of_a_service_that_cannot_be_served_is_rejected() -> None:
    described = description()
    described["metadata"] |= {"protocol": "query", "protocols": ["query"]}
    with pytest.raises(UnsupportedModelError, match="the protocol is query"):
        plan_without_problems(SPEC, service_of(described), Lock())


def test_collision_of_two_operations_names_the_service(tmp_path: Path) -> None:
    described = description()
    shapes = described["shapes"]
    shapes["PingRequest"] = {"type": "structure", "members": {"it": {"shape": "Text"}}}
    shapes["Nested"]["members"]["request"] = {"shape": "PingRequest"}
    with pytest.raises(UnsupportedModelError, match="toy: PingRequest would be both"):
        generate(SPEC, tmp_path, service_of(described))


def test_command_prints_the_rejection_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The toy has no model in botocore; its error is raised instead.
    def reject(*_: object) -> None:
        raise UnsupportedModelError("toy: GetThing: reason")

    monkeypatch.setattr(rejections, "check", reject)
    monkeypatch.setattr("sys.argv", ["codegen", "--protos", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"nothing is written.*\n.*toy: GetThing: reason"):
        codegen.main()
    assert not list(tmp_path.iterdir())
