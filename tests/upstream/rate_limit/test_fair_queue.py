"""The queue that is fair across requesters: its order, its estimates, and that nothing is lost."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.rate_limit.fair_queue import FairQueue

INTERACTIVE, POLLER = Priority.INTERACTIVE, Priority.POLLER
A, B, C = (Share(INTERACTIVE, name) for name in "abc")
SHARES = [A, B, C, Share(POLLER, "a"), Share(POLLER, "p")]


def take(queue: FairQueue[Any]) -> Any:
    item, share = queue.peek()
    queue.take(item, share)
    return item


def drain(queue: FairQueue[Any]) -> list[Any]:
    return [take(queue) for _ in range(len(queue))]


def test_an_item_in_a_new_line_waits_for_one_turn_of_each_other_share() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.add(f"a{number}", A)
        queue.add(f"b{number}", B)
    assert queue.turns_before(C) == 2
    queue.add("c", C)
    assert drain(queue)[:5] == ["a0", "b0", "c", "a1", "b1"]


def test_a_line_that_was_empty_begins_at_the_end_of_the_round() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("a0", A)
    queue.add("b0", B)
    assert take(queue) == "a0"
    queue.add("a1", A)
    queue.add("b1", B)
    assert drain(queue) == ["b0", "a1", "b1"]


def test_interactive_items_leave_before_those_of_pollers() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("poller", Share(POLLER, "p"))
    queue.add("a", A)
    assert queue.turns_before(Share(POLLER, "q")) == 2
    assert queue.turns_before(B) == 1
    assert drain(queue) == ["a", "poller"]


def test_an_item_in_two_lines_leaves_at_the_first_turn_and_only_then() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(3):
        queue.add(f"a{number}", A)
    queue.add("a2", B)
    assert len(queue) == 3
    assert drain(queue) == ["a0", "a2", "a1"]
    assert not queue.has_next
    with pytest.raises(IndexError):
        queue.peek()


def test_an_item_is_promoted_by_a_line_of_a_higher_priority() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("first", Share(POLLER, "p"))
    queue.add("second", Share(POLLER, "p"))
    queue.add("second", A)
    assert drain(queue) == ["second", "first"]


def test_a_paused_line_has_no_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("a", A)
    queue.pause(A)
    queue.add("a2", A)
    assert len(queue) == 2
    assert not queue.has_next
    queue.add("b", B)
    queue.resume(A)
    queue.resume(A)
    assert drain(queue) == ["b", "a", "a2"]


def test_the_estimate_of_one_requester_does_not_count_the_backlog_of_another() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(500):
        queue.add(f"a{number}", A)
    for number in range(10):
        queue.add(f"b{number}", B)
    assert queue.turns_before(A) == 510
    assert queue.turns_before(B) == 10 + 11
    assert queue.turns_before(C) == 2


def test_late_items_make_room_for_the_next_of_their_line() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in ("a0", "a1", "a2"):
        queue.add(name, A)
    queue.add("b0", B)
    judged: list[tuple[str, int]] = []

    def is_late(item: str, ahead: int) -> bool:
        judged.append((item, ahead))
        return item in {"a0", "a2"}

    assert queue.remove_late(is_late) == ["a0", "a2"]
    assert judged == [("a0", 0), ("a1", 0), ("b0", 1), ("a2", 2)]
    assert drain(queue) == ["a1", "b0"]


def test_only_the_first_turn_of_a_late_item_counts() -> None:
    queue: FairQueue[str] = FairQueue()
    for name, share in (("a0", A), ("both", A), ("both", B), ("a1", A)):
        queue.add(name, share)
    ahead: list[tuple[str, int]] = []

    def is_late(item: str, before: int) -> bool:
        ahead.append((item, before))
        return False

    assert queue.remove_late(is_late) == []
    assert ahead == [("a0", 0), ("both", 1), ("a1", 2)]


@dataclass
class Model:
    """A queue, what is known to wait in it, and the turns that each share has seen of others."""

    queue: FairQueue[int] = field(default_factory=FairQueue)
    waiting: dict[int, set[Share]] = field(default_factory=dict)
    paused: set[Share] = field(default_factory=set)
    seen: dict[Share, Counter[Share]] = field(default_factory=lambda: defaultdict(Counter))
    numbers: Any = field(default_factory=itertools.count)

    def step(self, event: str, share: Share, value: int) -> None:
        items = list(self.waiting)
        item = items[value % len(items)] if items else None
        if event == "add":
            self.put(next(self.numbers), share)
        elif event == "take":
            self.take()
        elif event == "pause":
            self.queue.pause(share)
            self.paused.add(share)
        elif event == "resume":
            self.queue.resume(share)
            if share in self.paused:
                self.paused.discard(share)
                self.seen.pop(share, None)  # it begins anew, at the end of the round
        elif item is not None:
            self.change(event, item, share)
        self.check()

    def put(self, item: int, share: Share) -> None:
        self.queue.add(item, share)
        self.waiting.setdefault(item, set()).add(share)

    def change(self, event: str, item: int, share: Share) -> None:
        if event == "join":
            self.put(item, share)
        elif event == "leave":
            self.queue.remove_from_line(item, share)
            self.waiting[item].discard(share)
        else:
            self.queue.remove(item)
            self.waiting[item].clear()
        if not self.waiting[item]:
            del self.waiting[item]

    def take(self) -> None:
        if not self.queue.has_next:
            return
        item, turn = self.queue.peek()
        self.queue.take(item, turn)
        assert turn in self.waiting.pop(item), "no item leaves twice, or in a line of others"
        assert turn not in self.paused
        for share in self.lines() - self.paused:
            assert share.priority >= turn.priority, "an urgent one waits"
            if share != turn and share.priority == turn.priority:
                self.seen[share][turn] += 1
                assert self.seen[share][turn] <= 1, "it saw a second turn of another one"
        self.seen.pop(turn, None)

    def lines(self) -> set[Share]:
        return {share for shares in self.waiting.values() for share in shares}

    def check(self) -> None:
        lines = self.lines()
        for share in set(self.seen) - lines:
            del self.seen[share]
        assert len(self.queue) == len(self.waiting)
        assert set(self.queue) == set(self.waiting)
        assert self.queue.has_next == bool(lines - self.paused), (
            "each line that is not paused has a turn"
        )
        for share in SHARES:
            length = sum(share in shares for shares in self.waiting.values())
            assert self.queue.length(share) == length

    def probe(self, share: Share) -> None:
        """Compare the estimate for a new item with what happens if nothing else comes."""
        for each in SHARES:
            self.step("resume", each, 0)
        bound, lines = self.queue.turns_before(share), len(self.lines())
        is_plain = all(len(shares) == 1 for shares in self.waiting.values())
        self.put(-1, share)
        turns = 0
        while -1 in self.waiting:
            self.take()
            turns += 1
        assert turns - 1 <= bound
        if is_plain:
            assert turns - 1 >= bound - lines


EVENTS = st.sampled_from(["add", "add", "add", "join", "leave", "remove", "take", "take"])
PAUSES = st.sampled_from(["pause", "resume"])


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(st.one_of(EVENTS, EVENTS, PAUSES), st.sampled_from(SHARES), st.integers(0, 20)),
        max_size=80,
    ),
    st.sampled_from(SHARES),
)
def test_no_item_is_lost_and_no_share_has_two_turns_in_a_round(
    steps: list[tuple[str, Share, int]], share: Share
) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
    model.probe(share)
    while model.waiting:
        model.take()
    assert len(model.queue) == 0
    internals = model.queue._priorities
    assert [(lines.lines, lines.ring, lines.counts, lines.size) for lines in internals] == [
        ({}, {}, [], 0)
    ] * 2, "what is empty takes no memory"


class RecordingListener:
    """A listener that records the shares."""

    def __init__(self) -> None:
        self.shares: set[Share] = set()
        self.give_up_at = 0.0

    def add(self, share: Share) -> None:
        assert share not in self.shares
        self.shares.add(share)

    def remove(self, share: Share) -> None:
        self.shares.remove(share)

    def extend(self, give_up_at: float) -> None:
        assert give_up_at > self.give_up_at
        self.give_up_at = give_up_at


def test_a_batch_has_the_requesters_of_its_calls() -> None:
    sent: list[str] = []
    first, second = Requesters(), Requesters()
    first.join(A, 5.0)
    second.join(A, 7.0)
    batch = Requesters.merge([first, second], lambda: sent.append("batch"))
    place = RecordingListener()
    batch.add_listener(place)
    assert (set(batch.shares), batch.give_up_at) == ({A}, 7.0)
    second.join(B, 9.0)
    first.join(A, 6.0)
    assert (place.shares, batch.give_up_at, place.give_up_at) == ({B}, 9.0, 9.0)
    first.remove(A)
    first.remove(A)
    second.remove(B)
    assert (set(batch.shares), place.shares) == ({A}, set())
    changes = batch.changes
    batch.close()
    second.join(C, 10.0)
    assert (set(batch.shares), batch.changes) == ({A}, changes)
    batch.on_sent()
    assert sent == ["batch"]
