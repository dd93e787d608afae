"""What pollers share with the pollers of other replicas, whatever stores it.

    SharedParents   the parents that the replicas of a target share
    SharedParent    one of them: a lease, its tasks, a stream of their changes, and a status

At most one replica has the lease of a parent. It alone polls AWS and adds changes; each of them has
a fencing token, so that a replica that lost the lease without noticing it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Protocol, TypeAlias

Numbered: TypeAlias = tuple[int, bytes]
"""The revision of a change, and the serialized change."""


class SharedStateUnavailableError(Exception):
    """The shared state cannot be read or written at present."""


class Role(Enum):
    """Who polls AWS."""

    FOLLOWING = auto()
    LEADING = auto()
    ALONE = auto()


class Interest(IntEnum):
    """What the watchers of a replica need of a parent."""

    NONE = 0
    CHANGES = 1
    END = 2
    """Also whether it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that the replica with the lease adds."""

    name: str
    removed: bool
    content: bytes
    """The serialized change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has happened to a parent since a revision."""

    now: float
    """Seconds since 1970, by the clock of the store."""
    leads: bool
    """Whether this replica has the lease."""
    fence: int
    """The fencing token, if it does."""
    epoch: bytes
    """Identifies the line of revisions; empty if there is no state."""
    revision: int
    horizon: int
    """Changes up to this revision may no longer be stored."""
    status: bytes
    changes: Sequence[Numbered]
    """The first changes after the revision; none if the epoch differs or the horizon is later."""
    hints: Sequence[bytes] = ()
    """What other replicas have requested from the one with the lease, which this one has."""
    end_wanted: bool = False
    """Whether any replica has `Interest.END`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The whole state of a parent."""

    epoch: bytes
    revision: int
    horizon: int
    status: bytes
    tasks: Sequence[Numbered] = field(repr=False)
    """The latest change of each task that is not removed."""
    changes: Sequence[Numbered] = field(repr=False)
    """All changes after the horizon."""


class SharedParent(Protocol):
    """A parent that replicas share. All methods raise `SharedStateUnavailableError`."""

    async def exchange(
        self, *, wants_lease: bool, interest: Interest, epoch: bytes, revision: int
    ) -> News:
        """Take, renew or release the lease, report the interest, and return the news."""

    async def load(self) -> State:
        """Return the whole state."""

    async def add(
        self, fence: int, epoch: bytes, changes: Sequence[Change], status: bytes
    ) -> int | None:
        """Add changes, whose revisions follow each other; set the status.

        Returns:
            The revision of the last change, or of the state; None if this replica no longer has the
            lease or the epoch.
        """

    async def reset(self, fence: int, epoch: bytes) -> int | None:
        """Begin a new epoch without tasks; return its first revision, or None as `add`."""

    async def request(self, hint: bytes) -> None:
        """Request something from the replica that has the lease."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each change by another replica, and when the availability changes.

        Returns:
            A function that ends this.
        """


class SharedParents(Protocol):
    """The parents that the replicas of a target share."""

    def parent(self, name: str, *, full_view: bool) -> SharedParent:
        """Return a parent."""
