"""`make simulate`: runs all scenes, and writes the tables and the plots of docs/scaling.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import ROOT, WEB_PYTHON
from benchmarks.simulation.panels import all_panels
from benchmarks.simulation.scenarios import Key, Results, Sizes, all_work, run_all
from benchmarks.simulation.tables import TABLES, filled

DOCUMENT = ROOT / "docs/scaling.md"
FIGURE = ROOT / "docs/scaling.svg"


def draw(results: Results, path: Path) -> None:
    """Draw the plots in the environment that has matplotlib."""
    with tempfile.TemporaryDirectory() as home:
        data = Path(home, "panels.json")
        data.write_text(json.dumps(all_panels(results)))
        plots = Path(__file__).with_name("plots.py")
        subprocess.run([WEB_PYTHON, plots, data, path], check=True)  # noqa: S603  # our own


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of all chance; default: %(default)s")
    options = parser.parse_args()
    if not WEB_PYTHON.exists():
        print(f"{WEB_PYTHON.relative_to(ROOT)} is missing; `make simulate` sets it up")  # noqa: T201
        return 2
    work, began, done = all_work(Sizes(), options.seed), time.monotonic(), 0

    def report(key: Key) -> None:
        nonlocal done
        done += 1
        took = time.monotonic() - began
        print(f"{took:4.0f} s  {done}/{len(work)}  {key.group}, {key.size:g}", flush=True)  # noqa: T201

    results = run_all(work, report)
    DOCUMENT.write_text(
        filled(DOCUMENT.read_text(), {name: make(results) for name, make in TABLES.items()})
    )
    draw(results, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
