"""Draws the results. Run in the benchmark's own environment, which has matplotlib.

In: a JSON file, `[{"title": …, "bars": [{"label", "rate", "low", "high", "kind"}]}]`. Out: a PNG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]  # only in the benchmark's own environment

mpl.use("Agg")
from matplotlib import pyplot as plt  # after `use`

COLORS = {"taskgate": "#0b6e4f", "peer": "#9aa5b1", "limit": "#d9dee3"}
ROWS, COLUMNS = 2, 3


def draw(panels: list[dict[str, Any]], path: Path) -> None:
    """Draw one panel for each scenario, with one bar for each peer."""
    plt.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans"})
    figure, grid = plt.subplots(ROWS, COLUMNS, figsize=(15, 7.2))
    axes = list(grid.flat)
    for axis, panel in zip(axes, panels, strict=False):
        bars = panel["bars"][::-1]
        rates = [bar["rate"] for bar in bars]
        drawn = axis.barh(
            [bar["label"] for bar in bars],
            rates,
            color=[COLORS[bar["kind"]] for bar in bars],
            xerr=[
                [bar["rate"] - bar["low"] for bar in bars],
                [bar["high"] - bar["rate"] for bar in bars],
            ],
            error_kw={"ecolor": "#52606d", "elinewidth": 0.8},
        )
        axis.bar_label(drawn, labels=[f"{rate:,.0f}" for rate in rates], padding=4)
        axis.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold", x=-0.32)
        axis.set_xlim(0, max((bar["high"] for bar in bars), default=1) * 1.22)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.xaxis.set_major_locator(plt.MaxNLocator(4))
        axis.grid(axis="x", color="#eceff2")
        axis.set_axisbelow(True)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(
        "RPC/s on one server core: medians and quartiles of the rounds",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    figure.tight_layout(h_pad=2.5, w_pad=2)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
