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
from typing import TYPE_CHECKING, Any

from taskgate_client.commands.exit_codes import ExitCode
from taskgate_client.commands.main import main

if TYPE_CHECKING:
    from taskgate_client.commands.arguments import Commands

EXTRAS = {"server": "pydantic_settings", "emulator": "moto"}
"""A module of each extra of the package, by which it is recognized."""


def add_commands(commands: Commands) -> list[str]:
    """Add the commands, list those whose extras are installed, and return the missing extras."""
    missing = [extra for extra, module in EXTRAS.items() if find_spec(module) is None]

    def add(name: str, description: str, *extras: str, **more: Any) -> argparse.ArgumentParser:
        """Add a command; without its extras it is not listed, and reports what to install."""
        if not set(extras) & set(missing):
            more["help"] = description
        parser: argparse.ArgumentParser = commands.add_parser(name, **more)
        parser.set_defaults(extras=",".join(extras))
        return parser

    serve = add("serve", "run the server until SIGTERM", "server")
    serve.add_argument("--config", type=Path, help="TOML file of settings")
    serve.add_argument("--workers", type=int, metavar="N", help="processes that share the port")
    serve.set_defaults(run=_serve)
    description = "run a local AWS with demo tasks until SIGTERM"
    emulate = add("emulate", description, "emulator", add_help=False)  # it parses --help itself
    emulate.set_defaults(run=_emulate, forwards_arguments=True)
    demo = add("demo", "run emulator and server, read tasks, stop", *EXTRAS)
    demo.add_argument("--keep-running", action="store_true", help="serve until Ctrl-C")
    demo.set_defaults(run=_demo)
    policy = add("policy", "check a policy before a server uses it", "server")
    verbs = policy.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="parse it, and test it with examples")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="Cedar policies")
    check.add_argument("--examples", type=Path, metavar="FILE", help="YAML: see docs/security.md")
    check.set_defaults(run=_check_policy)
    return missing


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

    file = options.config or os.environ.get(config.CONFIG_FILE_VARIABLE)
    more = {} if options.workers is None else {"workers": options.workers}
    return process.serve(lambda: config.load_settings(Path(file) if file else None, **more))


def _require_emulator() -> None:
    """Check that the extra of the emulator is installed, which imports some of it only when needed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    name = EXTRAS["emulator"]
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _emulate(options: argparse.Namespace) -> int:
    _exit_on_signals_during_startup()
    _require_emulator()
    from taskgate_emulator import command  # noqa: PLC0415

    return command.run(options.rest)


def _demo(options: argparse.Namespace) -> int:
    _require_emulator()
    from taskgate_server import demo  # noqa: PLC0415

    try:
        return demo.keep_running() if options.keep_running else demo.show()
    except demo.StartError as error:
        return _fail(str(error))


def _check_policy(options: argparse.Namespace) -> int:
    from taskgate_server.auth import examples, guard  # noqa: PLC0415
    from taskgate_server.config import SettingsError  # noqa: PLC0415

    try:
        policy = guard.load_policy(options.files).value
        expected = examples.load_examples(options.examples) if options.examples else []
    except SettingsError as error:
        return _fail(*error.faults)
    failures = examples.find_failures(policy, expected)
    if failures:
        return _fail(*failures)
    sys.stdout.write(f"the policy is valid; {len(expected)} examples pass\n")
    return 0


def _fail(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"taskgate: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
