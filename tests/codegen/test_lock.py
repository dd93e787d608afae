"""The lock: numbers are looked up, never counted again."""

from __future__ import annotations

from pathlib import Path

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.contract import Contract, Enum, Field, Message
from taskgate_server.codegen.render import render
from taskgate_server.services.spec import ServiceSpec

SPEC = ServiceSpec(name="toy", title="Toy", grpc_service="ToyService")


def contract(enum: tuple[str, ...] = (), **fields: str) -> Contract:
    made = Contract(spec=SPEC)
    items = tuple(Field(name=name, member=name, type=kind) for name, kind in fields.items())
    made.messages["Thing"] = Message(name="Thing", fields=items)
    if enum:
        made.enums["Mood"] = Enum(name="Mood", words=enum)
    return made


def numbers(lock: locks.Lock) -> dict[str, int]:
    return {e.name: e.number for e in lock.messages["Thing"].entries if not e.retired}


def test_new_members_take_the_next_number_wherever_they_stand() -> None:
    lock = locks.Lock()
    lock.update(contract(a="string", b="string"))
    lock.update(contract(z="string", a="string", b="string"))
    assert numbers(lock) == {"a": 1, "b": 2, "z": 3}


def test_a_removed_member_is_reserved_and_its_number_never_used_again() -> None:
    lock = locks.Lock()
    lock.update(contract(a="string", b="string"))
    lock.update(contract(a="string"))
    later = contract(a="string", c="string")
    lock.update(later)
    assert numbers(lock) == {"a": 1, "c": 3}
    text = render(later, lock)
    assert "reserved 2;" in text
    assert 'reserved "b";' in text


def test_a_retyped_member_is_a_new_number_under_a_new_name() -> None:
    lock = locks.Lock()
    lock.update(contract(a="optional string"))
    later = contract(a="optional int32")
    lock.update(later)
    assert numbers(lock) == {"a_v2": 2}
    text = render(later, lock)
    assert 'reserved "a";' in text
    assert 'optional int32 a_v2 = 2 [json_name = "a"];' in text


def test_returning_member_is_a_new_entry() -> None:
    lock = locks.Lock()
    lock.update(contract(a="string", b="string"))
    lock.update(contract(a="string"))
    lock.update(contract(a="string", b="string"))
    assert numbers(lock) == {"a": 1, "b_v2": 3}


def test_returning_message_keeps_its_numbers() -> None:
    lock = locks.Lock()
    lock.update(contract(a="string", b="string"))
    lock.update(Contract(spec=SPEC))
    lock.update(contract(b="string", a="string"))
    assert numbers(lock) == {"a": 1, "b": 2}


def test_enum_words_keep_their_numbers() -> None:
    lock = locks.Lock()
    lock.update(contract(enum=("SAD", "GLAD")))
    later = contract(enum=("MAD", "GLAD"))
    lock.update(later)
    text = render(later, lock)
    assert "MOOD_GLAD = 2;" in text
    assert "MOOD_MAD = 3;" in text
    assert "reserved 1;" in text
    assert "MOOD_UNSPECIFIED = 0;" in text


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock = locks.Lock()
    lock.update(contract(enum=("SAD",), a="string", b="string"))
    lock.update(contract(enum=("SAD",), a="string"))
    path = tmp_path / "toy.lock.json"
    path.write_text(locks.dump(lock))
    assert locks.load(path) == lock
    assert locks.dump(locks.load(path)) == locks.dump(lock)
    assert locks.load(tmp_path / "none.json") == locks.Lock()
