"""The commands of the server, which `taskgate` has beside those of the client.

`serve`, `emulate`, `demo` and `policy` need the extras of the package. Each imports what it needs
when it runs, so that `taskgate --help` stays fast.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from taskgate_client.commands.exit_codes import ExitCode
from taskgate_client.commands.main import main

if TYPE_CHECKING:
    from taskgate_client.commands.arguments import Commands

EXTRAS = {"server": "pydantic_settings", "emulator": "aiohttp"}
"""A module of each extra of the package, by which it is recognized."""


def add_commands(commands: Commands) -> list[str]:
    """Add the commands, list those whose extras are installed, and return the missing extras."""
    missing = [extra for extra, module in EXTRAS.items() if find_spec(module) is None]
    _add_serve(commands, missing)
    _add_emulate(commands, missing)
    _add_demo(commands, missing)
    _add_policy(commands, missing)
    return missing


def _add(
    commands: Commands, missing: list[str], name: str, description: str, extras: str
) -> argparse.ArgumentParser:
    """Add a command; without its extras it is not listed, and reports what to install."""
    has_help = name != "emulate"  # the emulator parses its own arguments, among them --help
    if set(extras.split(",")) & set(missing):
        parser = commands.add_parser(name, add_help=has_help)
    else:
        parser = commands.add_parser(name, add_help=has_help, help=description)
    parser.set_defaults(extras=extras)
    return parser


def _add_serve(commands: Commands, missing: list[str]) -> None:
    parser = _add(commands, missing, "serve", "run the server until SIGTERM", "server")
    parser.add_argument("--config", type=Path, help="TOML file of settings")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that share the port")
    parser.set_defaults(run=_serve)


def _add_emulate(commands: Commands, missing: list[str]) -> None:
    description = "run a local AWS with demo tasks until SIGTERM"
    parser = _add(commands, missing, "emulate", description, "emulator")
    parser.set_defaults(run=_emulate, forwards_arguments=True)


def _add_demo(commands: Commands, missing: list[str]) -> None:
    description = "run emulator and server, read tasks, stop"
    parser = _add(commands, missing, "demo", description, "server,emulator")
    parser.add_argument("--keep-running", action="store_true", help="serve until Ctrl-C")
    parser.set_defaults(run=_demo)


def _add_policy(commands: Commands, missing: list[str]) -> None:
    description = "check a policy before a server uses it"
    parser = _add(commands, missing, "policy", description, "server")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="parse it, and test it with examples")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="Cedar policies")
    check.add_argument("--examples", type=Path, metavar="FILE", help="YAML: see docs/security.md")
    check.set_defaults(run=_check_policy)


def _exit_on_signals_during_startup() -> None:
    """Exit on SIGTERM and SIGHUP until the server can drain.

    That is the kernel's default, but not for the first process of a container
    (pid_namespaces(7)), which would ignore a signal that arrives during its imports.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) sets it
            signal.signal(number, lambda *_: os._exit(ExitCode.OK))


def _serve(options: argparse.Namespace) -> int:
    _exit_on_signals_during_startup()
    from taskgate_server import config, process  # noqa: PLC0415

    file = options.config or _path(os.environ.get(config.CONFIG_FILE_VARIABLE))
    more = {} if options.workers is None else {"workers": options.workers}
    return process.serve(lambda: config.load_settings(file, **more))


def _emulate(options: argparse.Namespace) -> int:
    _exit_on_signals_during_startup()
    from taskgate_emulator import command  # noqa: PLC0415

    return command.run(options.rest)


def _demo(options: argparse.Namespace) -> int:
    from taskgate_server import demo  # noqa: PLC0415

    try:
        return demo.keep_running() if options.keep_running else demo.show()
    except demo.StartError as error:
        return _fail(str(error))


def _check_policy(options: argparse.Namespace) -> int:
    from taskgate_server.auth import examples, guard  # noqa: PLC0415
    from taskgate_server.reloading import FileFaultError  # noqa: PLC0415

    try:
        policy = guard.load_policy(options.files).value
        expected = examples.load_examples(options.examples) if options.examples else []
    except FileFaultError as error:
        return _fail(str(error))
    failures = examples.find_failures(policy, expected)
    if failures:
        return _fail(*failures)
    sys.stdout.write(f"the policy is valid; {len(expected)} examples pass\n")
    return 0


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _fail(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"taskgate: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
