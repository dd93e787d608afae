"""The requesters of one AWS call. They may join and leave while the call waits to be sent.

`Requesters` holds them for a shared read, a batch or a write. Whatever the call waits in listens to
it, so that the call's place follows from the requesters of now, not from those when it was queued.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from taskgate_server.upstream.options import Priority

if TYPE_CHECKING:  # imported only where traces are made
    from opentelemetry.trace import Span


class Share(NamedTuple):
    """Whose turn a call may use, and at which priority."""

    priority: Priority
    requester: str


class AbandonedError(Exception):
    """No requester waits for the call any more, so it is not sent."""


class Listener(Protocol):
    """What has to know when the requesters of a call change."""

    def add(self, share: Share) -> None:
        """Handle the first requester of a share."""

    def remove(self, share: Share) -> None:
        """Handle that the last requester of a share has left."""

    def extend(self, give_up_at: float) -> None:
        """Handle a requester that waits longer than all before it."""


def _do_nothing() -> None:
    pass


class Requesters:
    """The requesters of one call, or of all calls of a batch.

    Args:
        on_sent: called at each attempt, when the call leaves for AWS.
    """

    __slots__ = ("_counts", "_listeners", "_members", "_spans", "changes", "give_up_at", "sent")

    def __init__(self, on_sent: Callable[[], None] = _do_nothing) -> None:
        self.sent = on_sent
        """Call it when the call leaves for AWS."""
        self.give_up_at = -math.inf
        """When the last requester stops waiting, by the gateway's clock. It only grows."""
        self.changes = 0
        """How often something changed that may make a refusal of the call obsolete."""
        self._counts: dict[Share, int] = {}
        self._listeners: tuple[Listener, ...] = ()
        self._members: tuple[Requesters, ...] = ()
        self._spans: tuple[Span, ...] = ()

    @classmethod
    def sole(cls, share: Share, give_up_at: float, spans: Sequence[Span] = ()) -> Requesters:
        """Return the only requester of a call that is not shared."""
        requesters = cls()
        requesters.join(share, give_up_at, spans)
        return requesters

    @classmethod
    def of_all(cls, members: Sequence[Requesters], on_sent: Callable[[], None]) -> Requesters:
        """Return the requesters of all members, which is to be closed in the end."""
        requesters = cls(on_sent)
        requesters._members = tuple(members)
        for member in members:
            member.listen(requesters)
            requesters.extend(member.give_up_at)
            for share in member.shares:
                requesters.add(share)
        return requesters

    def close(self) -> None:
        """Stop listening to the members."""
        for member in self._members:
            member.unlisten(self)

    @property
    def shares(self) -> Collection[Share]:
        """The shares of those that wait; empty when none does."""
        return self._counts.keys()

    @property
    def spans(self) -> Sequence[Span]:
        """The spans of their RPCs, where those are traced."""
        if not self._members:
            return self._spans
        return [span for member in self._members for span in member.spans]

    def join(self, share: Share, give_up_at: float, spans: Sequence[Span] = ()) -> None:
        """Add a requester, which leaves by `remove`.

        Args:
            share: whose turn the call may use from now on.
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

    def listen(self, listener: Listener) -> None:
        """Call the listener at each change from now on."""
        self._listeners += (listener,)

    def unlisten(self, listener: Listener) -> None:
        """Stop calling the listener."""
        listeners = self._listeners
        self._listeners = (
            ()
            if len(listeners) == 1 and listeners[0] is listener
            else tuple(each for each in listeners if each is not listener)
        )
