"""When a call to AWS that hangs no longer counts as in flight.

A thread that waits for a response cannot be interrupted, so a call that nobody waits for any more
keeps its thread until its read timeout. It gives its slot back at once, and any call does after
`STUCK_SECONDS`: when AWS responds again, new calls find threads although the old ones still hang.
"""

from __future__ import annotations

from typing import Final

STUCK_SECONDS: Final = 3.0
EXTRA_THREADS: Final = 64
"""For calls that have given their slots back: the circuit breaker lets a few into an outage each
second, and each may hang for the 30 s of the read timeout."""
