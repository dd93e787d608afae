"""How long calls take, as far as the latest ones tell."""

from __future__ import annotations

MEAN_WEIGHT = 1 / 8
DEVIATION_WEIGHT = 1 / 4
DEVIATIONS = 4


class Duration:
    """An estimate that nearly all calls keep to, as TCP makes it for round trips (RFC 6298)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def most(self) -> float:
        """Seconds within which nearly all end; 0 before the first one has."""
        return (self._mean or 0.0) + DEVIATIONS * self._deviation

    def note(self, seconds: float) -> None:
        """A call has taken so long."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        off = abs(seconds - self._mean)
        self._deviation += DEVIATION_WEIGHT * (off - self._deviation)
        self._mean += MEAN_WEIGHT * (seconds - self._mean)
