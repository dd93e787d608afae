"""`make bench-metered`: a cached GetTask with metrics, and without.

Two servers, the same callers, turn by turn, as in `guarded`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

from benchmarks.guarded import OFTEN, REQUESTS, ROUNDS, Side, cost
from benchmarks.machine import taskgate
from taskgate_emulator import Emulator

BAR = 0.9
"""What must be left of the calls a second."""


@contextmanager
def sides() -> Iterator[Mapping[str, Side]]:
    """Run both servers."""
    own = (("grpc.use_local_subchannel_pool", 1),)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(Emulator()).endpoint_url

        def side(name: str, more: Mapping[str, str]) -> Side:
            process = stack.enter_context(taskgate(upstream, folder / name, {**OFTEN, **more}))
            address = process.address
            return Side(process, lambda: grpc.aio.insecure_channel(address, options=own), ())

        yield {"off": side("off", {}), "on": side("on", {"TASKGATE_ADMIN_PORT": "0"})}


def main() -> int:
    """Run the command line; return 1 if the bar is missed and --check was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"fail below {BAR:.0%}")
    parser.add_argument("--calls", type=int, default=5000, help="in each of the rounds")
    options = parser.parse_args()
    worst = 1.0
    with sides() as both:
        for method, request in REQUESTS.items():
            data = request.SerializeToString()
            rounds = [
                {name: cost(side, method, data, options.calls) for name, side in both.items()}
                for _ in range(ROUNDS)
            ]
            least = {name: min(each[name] for each in rounds) for name in both}
            left = least["off"] / least["on"]
            worst = min(worst, left)
            sys.stdout.write(
                f"{method}: {least['off']:.0f} us of CPU, {least['on']:.0f} us with metrics:"
                f" {left:.0%} of the calls a second\n"
            )
    return 1 if options.check and worst < BAR else 0


if __name__ == "__main__":
    sys.exit(main())
