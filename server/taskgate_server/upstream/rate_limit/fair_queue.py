"""A queue that is fair across requesters: round robin within a priority.

This is deficit round robin (Shreedhar and Varghese, 1995) where each item costs 1: the deficit
counter is then never used. Each requester has a line of its own. A requester that comes to an empty
line waits for at most one turn of each other requester of its priority.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from taskgate_server.upstream.options import Priority
from taskgate_server.upstream.requesters import Share

T = TypeVar("T")


class _Lines(Generic[T]):
    """The lines of one priority."""

    __slots__ = ("counts", "lines", "paused", "ring", "size")

    def __init__(self) -> None:
        self.lines: dict[Share, OrderedDict[T, None]] = {}
        self.ring: OrderedDict[Share, None] = OrderedDict()
        """The shares that have a line and are not paused; the next turn is the first one's."""
        self.paused: set[Share] = set()
        self.size = 0
        self.counts: list[int] = []
        """At index n, how many lines are longer than n."""

    def push(self, share: Share, item: T, *, first: bool) -> None:
        line = self.lines.get(share)
        if line is None:
            line = self.lines[share] = OrderedDict()
            if share not in self.paused:
                self.ring[share] = None
        length = len(line)
        if length == len(self.counts):
            self.counts.append(0)
        self.counts[length] += 1
        self.size += 1
        line[item] = None
        if first:
            line.move_to_end(item, last=False)

    def drop(self, share: Share, item: T) -> None:
        line = self.lines[share]
        del line[item]
        length = len(line)
        self.size -= 1
        self.counts[length] -= 1
        if not self.counts[-1]:
            self.counts.pop()
        if not length:
            del self.lines[share]
            self.ring.pop(share, None)

    def in_turn(self) -> Iterator[OrderedDict[T, None]]:
        """Yield the lines, the next one to have a turn first."""
        yield from (self.lines[share] for share in self.ring)
        yield from (line for share, line in self.lines.items() if share not in self.ring)


class FairQueue(Generic[T]):
    """Items that wait for a turn, each in the line of one or more requesters.

    An item in several lines leaves at the first turn that any of them has. All operations take
    constant time, but for `turns_before` and `remove_late`.
    """

    def __init__(self) -> None:
        self._priorities = [_Lines[T]() for _ in Priority]
        self._shares: dict[T, set[Share]] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def __iter__(self) -> Iterator[T]:
        return iter(self._shares)

    @property
    def has_turn(self) -> bool:
        """Whether an item can leave: there is one in a line that is not paused."""
        first, second = self._priorities
        return bool(first.ring or second.ring)

    def length(self, share: Share) -> int:
        """Return how many items wait in the line of a share."""
        return len(self._priorities[share.priority].lines.get(share, ()))

    def turns_before(self, share: Share) -> int:
        """Return how many items leave before one that is added now, at most.

        Takes time in proportion to the length of the share's own line: each other line has at most
        as many turns before. Only the lines behind it in the round may have one less.
        """
        lines = self._priorities[share.priority]
        before = sum(each.size for each in self._priorities[: share.priority])
        return before + sum(lines.counts[: self.length(share) + 1])

    def add(self, item: T, share: Share, *, first: bool = False) -> None:
        """Put an item into the line of a share; it stays in those where it is.

        Args:
            item: what waits.
            share: whose line.
            first: whether it goes to the front of the line, having been there before.
        """
        shares = self._shares.get(item)
        if shares is None:
            shares = self._shares[item] = set()
        if share not in shares:
            shares.add(share)
            self._priorities[share.priority].push(share, item, first=first)

    def leave(self, item: T, share: Share) -> None:
        """Take an item out of one line, if it is there."""
        shares = self._shares.get(item)
        if shares is not None and share in shares:
            shares.discard(share)
            self._priorities[share.priority].drop(share, item)
            if not shares:
                del self._shares[item]

    def remove(self, item: T) -> None:
        """Take an item out of all lines. No requester loses a turn."""
        for share in self._shares.pop(item, ()):
            self._priorities[share.priority].drop(share, item)

    def peek(self) -> tuple[T, Share]:
        """Return the item that leaves next, and whose turn that is.

        Raises:
            IndexError: no item can leave, see `has_turn`.
        """
        for lines in self._priorities:
            if lines.ring:
                share = next(iter(lines.ring))
                return next(iter(lines.lines[share])), share
        raise IndexError("no item can leave")

    def take(self, item: T, share: Share) -> None:
        """Take out the item that `peek` has returned, and use the turn."""
        self._priorities[share.priority].ring.move_to_end(share)
        self.remove(item)

    def pause(self, share: Share) -> None:
        """Give no turn to a share until `resume`."""
        lines = self._priorities[share.priority]
        lines.paused.add(share)
        lines.ring.pop(share, None)

    def resume(self, share: Share) -> None:
        """Give turns to a share again; its next one is the last of the round."""
        lines = self._priorities[share.priority]
        if share in lines.paused:
            lines.paused.discard(share)
            if share in lines.lines:
                lines.ring[share] = None

    def remove_late(self, is_late: Callable[[T, int], bool]) -> list[T]:
        """Take out the items whose turn comes too late. Takes time in proportion to all items.

        Args:
            is_late: takes an item and how many of those that stay leave before it.
        """
        late: list[T] = []
        stay: set[T] = set()
        for lines in self._priorities:
            rest = deque(iter(list(line)) for line in lines.in_turn())
            while rest:
                line = rest.popleft()
                for item in line:
                    if item in stay or item not in self._shares:
                        continue
                    if not is_late(item, len(stay)):
                        stay.add(item)
                        rest.append(line)
                        break
                    self.remove(item)  # the next one in the line has its turn
                    late.append(item)
        return late
