"""An estimate of how long AWS calls take."""

from __future__ import annotations

MEAN_WEIGHT = 1 / 8
DEVIATION_WEIGHT = 1 / 4
DEVIATIONS = 4


class LatencyEstimator:
    """Estimates a latency that nearly all calls stay below, as TCP does (RFC 6298)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def upper_bound(self) -> float:
        """Seconds within which nearly all calls end; 0 before the first measurement."""
        return (self._mean or 0.0) + DEVIATIONS * self._deviation

    def record(self, seconds: float) -> None:
        """Add the latency of one call."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        error = abs(seconds - self._mean)
        self._deviation += DEVIATION_WEIGHT * (error - self._deviation)
        self._mean += MEAN_WEIGHT * (seconds - self._mean)
