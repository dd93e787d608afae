"""A figure that was measured in several rounds: their median and their spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """The median and the quartiles of the rounds; NaN if there were none."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Return the figure of the rounds' values; NaN is no value."""
        seen = [value for value in values if not math.isnan(value)]
        if not seen:
            return NONE
        if len(seen) == 1:
            return cls(seen[0], seen[0], seen[0])
        low, median, high = statistics.quantiles(seen, n=4, method="inclusive")
        return cls(median, low, high)

    @property
    def is_known(self) -> bool:
        """Return whether it was measured."""
        return not math.isnan(self.median)

    def divided(self, divisor: float) -> Figure:
        """Return it as a part of something."""
        return Figure(self.median / divisor, self.low / divisor, self.high / divisor)

    def show(self, form: str) -> str:
        """Return the median and half the distance of the quartiles: `0.76 ± 0.02`; `-` for NaN.

        Args:
            form: how to format each, such as `,.0f`.
        """
        if not self.is_known:
            return "-"
        half = (self.high - self.low) / 2
        return f"{self.median:{form}} ± {half:{form}}" if half else f"{self.median:{form}}"


NONE = Figure(math.nan, math.nan, math.nan)
"""What was not measured."""
