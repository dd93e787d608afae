"""The report of `make model-update`."""

from __future__ import annotations

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.exclusion import plan
from taskgate_server.codegen.lock import Entry, Lock, Scope
from taskgate_server.codegen.update import Snapshot, report, snapshot
from tests.codegen.toy import GOLDEN, SPEC, versions


def lock(**messages: list[Entry]) -> Lock:
    return Lock(messages={name: Scope(entries) for name, entries in messages.items()})


def entry(number: int, name: str, *, retired: bool = False) -> Entry:
    return Entry(number=number, name=name, type="string", key=name, retired=retired)


def golden(name: str) -> Snapshot:
    (version,) = (each for each in versions() if each.name == name)
    made = plan(SPEC, version.service, locks.load(GOLDEN / name / "toy.lock.json"))
    return snapshot(made.contract, made.lock)


def test_added_removed_and_retyped_entries_have_signs() -> None:
    before = Snapshot(
        operations=frozenset({"Get", "Drop"}),
        declared=frozenset({"Thing", "Gone"}),
        lock=lock(Thing=[entry(1, "same"), entry(2, "gone"), entry(3, "kind")], Gone=[]),
    )
    retyped = Entry(number=4, name="kind_v2", type="int32", key="kind")
    entries = [
        entry(1, "same"),
        entry(2, "gone", retired=True),
        entry(3, "kind", retired=True),
        retyped,
        entry(5, "new"),
    ]
    after = Snapshot(
        operations=frozenset({"Get", "Put"}),
        declared=frozenset({"Thing", "Fresh"}),
        lock=lock(Thing=entries, Gone=[], Fresh=[entry(1, "any")]),
    )
    assert report("Toy", before, after) == [
        "Toy:",
        "  operations:",
        "    + Put",
        "    - Drop",
        "  messages and enums:",
        "    + Fresh",
        "    - Gone",
        "  fields:",
        "    ~ Thing.kind: string kind = 3 -> kind: int32 kind_v2 = 4",
        "    + Thing.new: string new = 5",
        "    - Thing.gone: string gone = 2",
    ]


def test_equal_contracts_have_no_changes() -> None:
    assert report("Toy", golden("2-added"), golden("2-added")) == ["Toy:", "  no changes"]


def test_first_contract_is_entirely_new() -> None:
    lines = report("Toy", Snapshot(), golden("1-first"))
    assert "    + Ping" in lines
    assert "    + Kind" in lines


def test_added_members_and_words_are_reported() -> None:
    assert report("Toy", golden("1-first"), golden("2-added")) == [
        "Toy:",
        "  operations:",
        "    + ListThings",
        "  messages and enums:",
        "    + Bigs",
        "    + ListThingsRequest",
        "    + ListThingsResponse",
        "  fields:",
        "    + Choice.flag: oneof bool flag = 16",
        "    + Choice.bigs: oneof Bigs bigs = 17",
        "    + Nested.first: optional string first = 7",
        "    + Nested.middle: repeated Kind middle = 8",
        "    + Nested.last: optional string last = 9",
        "    + Nested.empty_members: repeated string empty_members = 10",
        "  enum words:",
        "    + Grade.in-between = 3",
        "    + Kind.arm64 = 8",
    ]


def test_removed_members_and_words_are_reported() -> None:
    lines = report("Toy", golden("2-added"), golden("3-removed"))
    assert "    - Ping" in lines
    assert "    - Tag" in lines
    assert "    - Nested.first: optional string first = 7" in lines
    assert "  deprecated enum values:" in lines
    assert "    + KIND_LOWER" in lines


def test_returning_members_are_reported() -> None:
    lines = report("Toy", golden("3-removed"), golden("4-returned"))
    assert "    + Ping" in lines
    assert "    + Nested.first: optional string first_v2 = 11" in lines
    assert "    - KIND_LOWER" in lines
