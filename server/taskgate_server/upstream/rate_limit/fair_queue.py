"""A queue that is fair across requesters: round robin within a priority.

This is deficit round robin (Shreedhar and Varghese, 1995) with items of cost 1, which needs no
deficit counters. Each share has a line of its own. An item added to an empty line waits for at most
one turn of every other share of its priority.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from taskgate_server.upstream.options import Priority, Share

T = TypeVar("T")


class _Lines(Generic[T]):
    """The lines of one priority."""

    __slots__ = ("counts", "lines", "paused", "ring", "size")

    def __init__(self) -> None:
        self.lines: dict[Share, OrderedDict[T, None]] = {}
        self.ring: OrderedDict[Share, None] = OrderedDict()
        """Shares that have a line and are not paused; the first one has the next turn."""
        self.paused: set[Share] = set()
        self.size = 0
        self.counts: list[int] = []
        """At index n, the number of lines longer than n."""

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
        """Yield the lines in the order of their next turns."""
        yield from (self.lines[share] for share in self.ring)
        yield from (line for share, line in self.lines.items() if share not in self.ring)


class FairQueue(Generic[T]):
    """Items that wait for a turn, each in the line of one or more shares.

    An item in several lines leaves at the first turn of any of them. All operations take constant
    time except `turns_before` and `remove_late`.
    """

    def __init__(self) -> None:
        self._priorities = [_Lines[T]() for _ in Priority]
        self._shares: dict[T, set[Share]] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def __iter__(self) -> Iterator[T]:
        return iter(self._shares)

    @property
    def has_next(self) -> bool:
        """Whether an item is in a line that is not paused."""
        first, second = self._priorities
        return bool(first.ring or second.ring)

    def length(self, share: Share) -> int:
        """Return the length of a share's line."""
        return len(self._priorities[share.priority].lines.get(share, ()))

    def turns_before(self, share: Share) -> int:
        """Return an upper bound of the items that leave before one that is added now.

        Takes time proportional to the length of the share's own line: every other line has at most
        as many turns before it. Only lines later in the round may have one less.
        """
        lines = self._priorities[share.priority]
        before = sum(each.size for each in self._priorities[: share.priority])
        return before + sum(lines.counts[: self.length(share) + 1])

    def add(self, item: T, share: Share, *, first: bool = False) -> None:
        """Add an item to the line of a share, at the front if it was there before.

        It stays in its other lines.
        """
        shares = self._shares.get(item)
        if shares is None:
            shares = self._shares[item] = set()
        if share not in shares:
            shares.add(share)
            self._priorities[share.priority].push(share, item, first=first)

    def remove_from_line(self, item: T, share: Share) -> None:
        """Remove an item from one line, if it is there."""
        shares = self._shares.get(item)
        if shares is not None and share in shares:
            shares.discard(share)
            self._priorities[share.priority].drop(share, item)
            if not shares:
                del self._shares[item]

    def remove(self, item: T) -> None:
        """Remove an item from all lines, without using a turn of any share."""
        for share in self._shares.pop(item, ()):
            self._priorities[share.priority].drop(share, item)

    def peek(self) -> tuple[T, Share]:
        """Return the next item, and the share whose turn it uses.

        Raises:
            IndexError: no item can leave, see `has_next`.
        """
        for lines in self._priorities:
            if lines.ring:
                share = next(iter(lines.ring))
                return next(iter(lines.lines[share])), share
        raise IndexError("no item can leave")

    def take(self, item: T, share: Share) -> None:
        """Remove the item returned by `peek`, and use the share's turn."""
        self._priorities[share.priority].ring.move_to_end(share)
        self.remove(item)

    def pause(self, share: Share) -> None:
        """Give a share no turns until `resume`."""
        lines = self._priorities[share.priority]
        lines.paused.add(share)
        lines.ring.pop(share, None)

    def resume(self, share: Share) -> None:
        """Give a share turns again; its next turn is the last of the round."""
        lines = self._priorities[share.priority]
        if share in lines.paused:
            lines.paused.discard(share)
            if share in lines.lines:
                lines.ring[share] = None

    def remove_late(self, is_late: Callable[[T, int], bool]) -> list[T]:
        """Remove and return the items whose turn comes too late. Takes linear time.

        `is_late` takes an item and the number of remaining items that leave before it.
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
                    self.remove(item)  # the next one in the line gets its turn
                    late.append(item)
        return late
