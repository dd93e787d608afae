"""Draws the results. Run in the benchmark's own environment, which has matplotlib.

In: a JSON file, as `panels` makes it. Out: an SVG, the same for the same figures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]  # only in the benchmark's own environment

mpl.use("Agg")
from matplotlib import pyplot as plt  # after `use`

STYLES: dict[str, dict[str, Any]] = {
    "robin": {"color": "#c2571a", "marker": "o"},
    "ring": {"color": "#0b6e4f", "marker": "o"},
    "one": {"color": "#3b5b92"},
    "limit": {"color": "#9aa5b1", "linestyle": "--"},
    "robin paper": {"color": "#c2571a", "linestyle": ":"},
    "ring paper": {"color": "#0b6e4f", "linestyle": ":"},
}
ROWS, COLUMNS = 2, 3


def draw(panels: list[dict[str, Any]], path: Path) -> None:
    """Draw one panel for each question."""
    plt.rcParams.update(
        {
            "font.size": 9,
            "svg.fonttype": "none",
            "svg.hashsalt": "taskgate",
            "font.family": "sans-serif",
        }
    )
    figure, grid = plt.subplots(ROWS, COLUMNS, figsize=(15, 8))
    for axis, panel in zip(grid.flat, panels, strict=True):
        for line in panel["lines"]:
            x, y = zip(*line["points"], strict=True) if line["points"] else ((), ())
            axis.plot(x, y, label=line["label"] or None, markersize=3, **STYLES[line["style"]])
        if "x" in panel["log"]:
            axis.set_xscale("log")
        if "y" in panel["log"]:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter(lambda value, _: f"{value:,g}")
            scale.set_minor_formatter(plt.NullFormatter())
        axis.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold")
        axis.set_xlabel(panel["x"])
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#eceff2")
        axis.legend(frameon=False, fontsize=8)
    figure.tight_layout(h_pad=2.5, w_pad=2)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
