"""The `taskgate emulate` command."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from taskgate_emulator.core.registry import Registry, Settings
from taskgate_emulator.core.server import serve_until
from taskgate_emulator.core.state import REGION

__all__ = ["run"]

_PORT = 4580
_COVERAGE = {
    "behaviour": "hand-written behaviour",
    "generic": "plain resource, derived from the model",
    "501": "not emulated",
}


def run(arguments: Sequence[str]) -> int:
    """Run the command until SIGTERM. Return 0, or 1 after an error, reported on stderr."""
    options = _parser().parse_args(arguments)
    try:
        if options.list:
            _list(Registry(Settings(seed="empty")))
            return 0
        asyncio.run(_serve(options))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"taskgate: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskgate emulate",
        description="A local AWS: Deadline Cloud, HealthOmics, Logs, EventBridge, S3, SQS and STS.",
        epilog="FILEs are TOML, JSON or YAML; docs/emulator.md describes them.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument(
        "--port", type=int, default=_PORT, help="0 for a free one; default: %(default)s"
    )
    parser.add_argument(
        "--seed", default="demo", metavar="NAME|FILE", help="demo (default), empty or a file"
    )
    parser.add_argument("--region", default=REGION, help="which has the seed; default: %(default)s")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="seconds of simulated work per second; default: 1"
    )
    parser.add_argument(
        "--quotas",
        default="off",
        metavar="aws|off|FILE",
        help="request rates and resource limits; default: off",
    )
    parser.add_argument("--faults", type=Path, metavar="FILE", help="fault rules")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="SQLite file that keeps the state"
    )
    parser.add_argument(
        "--list", action="store_true", help="list how each operation is emulated, and exit"
    )
    return parser


async def _serve(options: argparse.Namespace) -> None:
    registry = Registry(
        Settings(
            speed=options.speed,
            seed=options.seed,
            quotas=options.quotas,
            faults=options.faults or (),
            state=options.state,
            region=options.region,
        )
    )

    def ready(url: str) -> None:
        what = f"the {options.seed} seed" if options.state is None else f"state in {options.state}"
        sys.stdout.write(f"A local AWS at {url}: Deadline Cloud and HealthOmics, {what}.\n")
        sys.stdout.flush()

    serving = asyncio.ensure_future(
        serve_until(asyncio.Event(), registry, options.host, options.port, ready)
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving


def _list(registry: Registry) -> None:
    for service, operations in registry.dispatcher.coverage().items():
        for support, meaning in _COVERAGE.items():
            names = sorted(name for name, each in operations.items() if each == support)
            sys.stdout.write(f"{service} {support} ({meaning}): {len(names)}\n")
            sys.stdout.writelines(f"  {name}\n" for name in names)
