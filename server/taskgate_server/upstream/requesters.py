"""The requesters of one AWS call, which may join and leave while the call waits to be sent.

`Requesters` holds them for a shared read, a batch or a write. The queues that a call waits in
listen to it, so that the position of a call depends on its present requesters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from taskgate_server.upstream.options import Priority

if TYPE_CHECKING:  # imported only where traces are made
    from opentelemetry.trace import Span


class Share(NamedTuple):
    """The share of a quota that a call may use, and at which priority."""

    priority: Priority
    requester: str


class AbandonedError(Exception):
    """No requester waits for the call any more, so it is not sent."""


class Listener(Protocol):
    """Is notified when the requesters of a call change."""

    def add(self, share: Share) -> None:
        """Handle the first requester of a share."""

    def remove(self, share: Share) -> None:
        """Handle that the last requester of a share has left."""

    def extend(self, give_up_at: float) -> None:
        """Handle a requester that waits longer than all others."""


class Requesters:
    """The requesters of one call, or of all calls of a batch.

    Args:
        on_sent: called for each attempt, when the call is sent.
    """

    __slots__ = ("_counts", "_listeners", "_members", "_spans", "changes", "give_up_at", "on_sent")

    def __init__(self, on_sent: Callable[[], None] = lambda: None) -> None:
        self.on_sent = on_sent
        self.give_up_at = -math.inf
        """When the last requester stops waiting, by the gateway's clock. It only grows."""
        self.changes = 0
        """Counts changes that may make a refusal of the call obsolete."""
        self._counts: dict[Share, int] = {}
        self._listeners: tuple[Listener, ...] = ()
        self._members: tuple[Requesters, ...] = ()
        self._spans: tuple[Span, ...] = ()

    @classmethod
    def single(cls, share: Share, give_up_at: float, spans: Sequence[Span] = ()) -> Requesters:
        """Return the only requester of a call that is not shared."""
        requesters = cls()
        requesters.join(share, give_up_at, spans)
        return requesters

    @classmethod
    def merge(cls, members: Sequence[Requesters], on_sent: Callable[[], None]) -> Requesters:
        """Return the requesters of all members, now and later. Close it in the end."""
        requesters = cls(on_sent)
        requesters._members = tuple(members)
        for member in members:
            member.add_listener(requesters)
            requesters.extend(member.give_up_at)
            for share in member.shares:
                requesters.add(share)
        return requesters

    def close(self) -> None:
        """Stop listening to the members."""
        for member in self._members:
            member.remove_listener(self)

    @property
    def shares(self) -> Collection[Share]:
        """The shares of the requesters; empty if there are none."""
        return self._counts.keys()

    @property
    def spans(self) -> Sequence[Span]:
        """The spans of the requesters' RPCs, if traced."""
        if not self._members:
            return self._spans
        return [span for member in self._members for span in member.spans]

    def join(self, share: Share, give_up_at: float, spans: Sequence[Span] = ()) -> None:
        """Add a requester, which leaves by `remove`.

        Args:
            share: the share of the quota that the call may use from now on.
            give_up_at: when the requester stops waiting, by the gateway's clock.
            spans: of its RPC.
        """
        if give_up_at > self.give_up_at:
            self.extend(give_up_at)
        if spans:
            self._spans += tuple(spans)
        self.add(share)

    def add(self, share: Share) -> None:
        """Count one more requester of a share."""
        count = self._counts.get(share, 0)
        self._counts[share] = count + 1
        if not count:
            self.changes += 1
            for listener in self._listeners:
                listener.add(share)

    def remove(self, share: Share) -> None:
        """Count one requester of a share less."""
        count = self._counts[share] - 1
        if count:
            self._counts[share] = count
            return
        del self._counts[share]
        for listener in self._listeners:
            listener.remove(share)

    def extend(self, give_up_at: float) -> None:
        """Note that a requester waits until then."""
        if give_up_at > self.give_up_at:
            self.give_up_at = give_up_at
            self.changes += 1
            for listener in self._listeners:
                listener.extend(give_up_at)

    def add_listener(self, listener: Listener) -> None:
        """Notify a listener of all later changes."""
        self._listeners += (listener,)

    def remove_listener(self, listener: Listener) -> None:
        """Stop notifying a listener."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)
