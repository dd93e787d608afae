"""The tree that `make skew` builds the clients of the last contract in."""

from __future__ import annotations

from pathlib import Path

from conformance.skew import write_tree


def test_the_protos_of_the_last_contract_can_be_written(tmp_path: Path) -> None:
    """`write_tree` compiles what it writes, and compares it with the contract."""
    write_tree(tmp_path)
    text = (tmp_path / "protos/taskgate/v1/task_service.proto").read_text()
    assert "option idempotency_level = NO_SIDE_EFFECTS;" in text
