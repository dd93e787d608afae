"""`make bench-compare BASE=<commit>`: Taskgate of a commit and of this checkout, in turn.

The commit gets a worktree with an environment of its own below build/, which is removed at the end.
Both servers have the stub and the load generator of this checkout.

python -m benchmarks.compare main                                 all scenarios, 5 minutes
python -m benchmarks.compare HEAD~3 --only many busy --rounds 20  some, more precisely
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import machine, report, rest
from benchmarks.bench import say
from benchmarks.figures import Figure
from benchmarks.machine import ROOT, BenchError
from benchmarks.results import Rounds, compare
from benchmarks.runs import Bench, Run, bench, take_turns
from benchmarks.scenarios import SCENARIOS, Scenario

NAMES = [*(scenario.name for scenario in SCENARIOS), "rest"]
ROUNDS = 12
REST_ROUNDS = 3
WARMUP_SECONDS = 0.5
SECONDS = 1.0


def main() -> int:
    """Run the command line; return 1 if a server could not be measured."""
    given = parse(sys.argv[1:])
    # Otherwise the servers and the worktree would survive a SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with checkout(given.base) as base:
            machine.take_core()
            measure({given.base: base, "checkout": ROOT}, given.only, given.rounds)
    except BenchError as error:
        print(error, file=sys.stderr)  # noqa: T201  # its output
        return 1
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("base", metavar="COMMIT", help="what to compare this checkout with")
    arguments.add_argument(
        "--only",
        nargs="+",
        choices=NAMES,
        default=NAMES,
        metavar="SCENARIO",
        help=f"measure these only: {', '.join(NAMES)}; `rest` is memory and threads without calls",
    )
    arguments.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        metavar="N",
        help="rounds of each; default: %(default)s",
    )
    return arguments.parse_args(words)


@contextmanager
def checkout(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """Check out a commit below build/ and make its environment; remove both at the end.

    Raises:
        BenchError: there is no such commit, or its environment cannot be made.
    """
    revision = f"{commit}^{{commit}}"
    identifier = _run(["git", "rev-parse", "--verify", "--end-of-options", revision], root)[:12]
    place = root / "build" / f"compare-{identifier}"
    remove = partial(_remove, place, root)
    remove()  # what a run that was killed has left
    try:
        _run(["git", "worktree", "add", "--quiet", "--detach", str(place), identifier], root)
        say(f"making the environment of {commit} ({identifier})\n")
        _run(["make", "gen/stamp", f"PYTHON={sys.executable}"], place)
        yield place
    finally:
        remove()


def _remove(place: Path, root: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    _run(["git", "worktree", "prune"], root)


def _run(command: list[str], directory: Path) -> str:
    # A `make` that runs this passes its own options and variables in the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    try:
        done = subprocess.run(  # noqa: S603  # made here
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        raise BenchError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise BenchError(f"failed: {' '.join(command)}\n{done.stdout.strip()}")
    return done.stdout


def measure(checkouts: Mapping[str, Path], only: list[str], rounds: int) -> None:
    """Measure the chosen scenarios, and print each result when it is there.

    Raises:
        BenchError: a server does not start, or breaks its connections.
    """
    with bench(WARMUP_SECONDS, SECONDS) as running:
        for scenario in SCENARIOS:
            if scenario.name in only:
                say(f"{scenario.title}\n\n{_scenario(running, scenario, checkouts, rounds)}")
        if "rest" in only:
            say(f"at rest\n\n{_rest(running, checkouts, min(rounds, REST_ROUNDS))}")


def _scenario(
    running: Bench, scenario: Scenario, checkouts: Mapping[str, Path], rounds: int
) -> str:
    def failed(name: str, error: BenchError) -> None:
        raise BenchError(f"{name}, {scenario.title}: {error}")

    runs = take_turns(
        rounds,
        {
            name: partial(running.run_taskgate, scenario, f"taskgate-{number}", path)
            for number, (name, path) in enumerate(checkouts.items())
        },
        failed=failed,
    )
    return table(runs)


FIGURES: Mapping[str, tuple[str, Callable[[Run], float]]] = {
    "RPC/s": (",.0f", lambda run: run.load.rate),
    "p50 ms": (",.2f", lambda run: run.load.p50_ms),
    "p99 ms": (",.2f", lambda run: run.load.p99_ms),
    "CPU us / RPC": (",.0f", lambda run: run.cpu_us),
    "AWS calls / 1,000": (",.1f", lambda run: run.aws_calls),
}


def table(runs: Mapping[str, Rounds]) -> str:
    """Return the figures of both, and those of the second as multiples of the first's."""
    (_, base), (name, other) = runs.items()
    rows = [
        [
            title,
            *(Figure.of(map(value, seen.values())).show(form) for form, value in FIGURES.values()),
            str(sum(run.load.failed for run in seen.values())),
        ]
        for title, seen in runs.items()
    ]
    ratios = [compare(other, base, partial(_ratio, value)) for _, value in FIGURES.values()]
    rows.append([f"{name} / base", *(ratio.show(".3f") for ratio in ratios), ""])
    return report.table(["", *FIGURES, "refused"], rows)


def _ratio(value: Callable[[Run], float], one: Run, two: Run) -> float:
    return value(one) / value(two) if value(two) else float("nan")


def _rest(running: Bench, checkouts: Mapping[str, Path], rounds: int) -> str:
    rows = []
    for name, path in checkouts.items():
        seen = rest.measure(running.upstream, running.home, rounds, path)
        rows.append([name, seen.rss_mib.show(".1f"), seen.threads.show(".0f")])
    return report.table(["", "RSS MiB", "threads"], rows)


if __name__ == "__main__":
    sys.exit(main())
