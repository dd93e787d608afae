"""`make bench`: Taskgate and its peers on one upstream stub, in turn; writes docs/benchmarks.md.

python -m benchmarks.bench                     all of it, about 10 minutes, writes the document
python -m benchmarks.bench --quick             each run a second, one round, writes nothing
python -m benchmarks.bench --only many busy    some scenarios, writes nothing
python -m benchmarks.bench --quick --only many --peers taskgate bare
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version

from benchmarks import growth, machine, quota, report
from benchmarks.machine import ROOT, WEB_PYTHON, BenchError
from benchmarks.results import Results, Row, summarize
from benchmarks.scenarios import SCENARIOS, TITLES, Bench, Run, Scenario, bench

NAMES = [*(scenario.name for scenario in SCENARIOS), "growth", "quota"]
PACKAGES = ("grpcio", "protobuf", "boto3", "taskgate")
OTHER_PACKAGES = {
    "web": ("fastapi", "uvicorn", "uvloop", "boto3"),
    "aio": ("aiobotocore", "botocore"),
}


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--quick", action="store_true", help="a second each, write nothing")
    arguments.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    arguments.add_argument("--peers", nargs="+", choices=list(TITLES), default=list(TITLES))
    arguments.add_argument("--rounds", type=int, help="of each scenario; default: 3, quick 1")
    given = arguments.parse_args()
    os.sched_setaffinity(0, {machine.OTHER_CORE})
    try:
        machine.check()
        results = measure(
            given.only,
            given.peers,
            rounds=given.rounds or (1 if given.quick else 3),
            quick=given.quick,
        )
    except BenchError as error:
        print(error, file=sys.stderr)  # noqa: T201  # its output
        return 1
    everything = given.peers == list(TITLES)
    if everything:
        say(report.bars_table(results))
    if not given.quick and given.only == NAMES and everything:
        write(results)
        say("docs/benchmarks.md and docs/benchmarks.png are written")
    return 0


def measure(only: list[str], peers: list[str], *, rounds: int, quick: bool) -> Results:
    """Measure the chosen scenarios, and print each result when it is there."""
    results = Results(machine=machine.describe())
    warmup, seconds, quota_seconds = (0.5, 1.0, 10.0) if quick else (1.0, 2.0, 60.0)
    results.method = {
        "runs": f"{rounds} of {seconds:g} s each, after a warm-up of at least {warmup:g} s in which"
        " each caller is answered once",
        "quota": f"{quota_seconds:g} s",
    }
    with bench(warmup, seconds) as running:
        for scenario in SCENARIOS:
            if scenario.name in only:
                say(f"{scenario.title}\n")
                rows = _scenario(running, scenario, peers, rounds)
                results.scenarios[scenario.name] = rows
                say(report.scenario_table(rows))
        if "growth" in only:
            results.growth = growth.measure(running, rounds)
            say(f"growth\n\n{report.growth_table(results.growth)}")
    if "quota" in only:
        results.quota = quota.run(quota_seconds)
        say(f"quota\n\n{report.quota_table(results.quota)}")
    return results


def _scenario(running: Bench, scenario: Scenario, peers: list[str], rounds: int) -> dict[str, Row]:
    chosen = [peer for peer in scenario.peers if peer in peers]
    runs: dict[str, list[Run]] = {peer: [] for peer in chosen}
    for number in range(rounds):
        # In reverse order every second time, so that no peer always runs after the same one.
        for peer in chosen if number % 2 == 0 else reversed(chosen):
            runs[peer].append(running.run(scenario, peer))
    return summarize(runs)


def write(results: Results) -> None:
    """Write the document and its picture."""
    results.versions = _versions()
    (ROOT / "docs/benchmarks.md").write_text(report.document(results))
    panels = [
        {
            "title": scenario.title.replace("`", ""),
            "bars": [
                {"label": _label(peer), "rate": row.rate, "kind": _kind(peer)}
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
    return TITLES[peer].replace(", no server", "").replace(", prebuilt answer", "")


def _kind(peer: str) -> str:
    return {"taskgate": "taskgate", "bare": "limit"}.get(peer, "peer")


def _versions() -> dict[str, str]:
    here = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    versions = {"Python": platform.python_version(), "Taskgate, (a), (b), (e)": here}
    for name, title in (("web", "(c)"), ("aio", "(d)")):
        python = ROOT / ".venv-bench" / name / "bin/python"
        shown = f"', '.join(f'{{name}} {{version(name)}}' for name in {OTHER_PACKAGES[name]})"
        script = f"from importlib.metadata import version; print({shown})"
        done = subprocess.run(  # noqa: S603  # made here
            [str(python), "-c", script], stdout=subprocess.PIPE, text=True, check=True
        )
        versions[title] = done.stdout.strip()
    return versions


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)  # noqa: T201  # its output


if __name__ == "__main__":
    sys.exit(main())
