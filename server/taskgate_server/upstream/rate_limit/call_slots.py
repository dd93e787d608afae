"""The calls that may be in flight to one AWS service at a time, fair across requesters.

AWS calls run in a pool of threads, whose own queue is first come, first served. So no more calls
are sent than there are threads, and what has to wait waits here.
"""

from __future__ import annotations

from typing import Protocol

from taskgate_server.upstream.rate_limit.fair_queue import FairQueue
from taskgate_server.upstream.requesters import Requesters


class Candidate(Protocol):
    """A call that waits for a slot."""

    @property
    def requesters(self) -> Requesters:
        """The requesters that wait for the call."""

    def may_leave(self) -> bool:
        """Return whether the call still takes a slot. If not, it has been dealt with."""

    def leave(self) -> None:
        """Send the call, in the slot that it has now."""


class CallSlots:
    """Counts the calls in flight.

    Args:
        count: the most at a time; inf for any number.
    """

    def __init__(self, count: float) -> None:
        self.count = count
        self.queue: FairQueue[Candidate] = FairQueue()
        """The calls that wait for a slot."""
        self._free = count

    @property
    def has_free(self) -> bool:
        """Whether a slot is free, and nothing waits for it."""
        return self._free >= 1 and not len(self.queue)

    def take(self) -> bool:
        """Take a slot if one is free and nothing waits for it; return whether that was so."""
        if not self.has_free:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Give a slot back, to the call that is next if any waits."""
        self._free += 1
        while self._free >= 1 and self.queue.has_turn:
            candidate, share = self.queue.peek()
            if candidate.may_leave():
                self.queue.take(candidate, share)
                self._free -= 1
                candidate.leave()
            else:
                self.queue.remove(candidate)
