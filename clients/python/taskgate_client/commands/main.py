"""The entry point of `taskgate`: parse the command line and run the command that it names.

The commands that call a server are part of this package and need only the base install. The server
package adds its own, such as `serve`. A command's module is imported when the command runs, so that
`--help` stays fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec

from taskgate_client.commands import arguments as client_commands
from taskgate_client.commands.exit_codes import ExitCode

Run = Callable[[argparse.Namespace], int]

SHELLS = ("bash", "zsh", "fish")
SERVER_PACKAGE = "taskgate_server"
"""Imported by name: the client package does not depend on it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code, one of `ExitCode`.

    Args:
        arguments: the command line without the program's name; None for that of this process.
    """
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.forwards_arguments:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return _load(options.run)(options)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Otherwise Python flushes stdout at exit and prints a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PIPE_CLOSED
    except ModuleNotFoundError as error:
        if options.extras is None or (error.name or "").startswith("taskgate"):
            raise
        sys.stderr.write(
            f"taskgate: {error}: this command needs pip install 'taskgate[{options.extras}]'\n"
        )
        return ExitCode.FAILURE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="taskgate",
        description="One gRPC service for AWS Deadline Cloud and AWS HealthOmics tasks.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.set_defaults(extras=None, forwards_arguments=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    client_commands.add_commands(commands)
    missing = _add_server_commands(commands)
    if missing:
        parser.epilog = (
            "The commands of the server and the emulator, such as serve, are not installed: "
            f"pip install 'taskgate[{','.join(missing)}]'"
        )
    completion = commands.add_parser("completion", help="print a shell's completion script")
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(run=_print_completion, root=parser)
    return parser


def _add_server_commands(commands: client_commands.Commands) -> Sequence[str]:
    """Add the server's commands and return the extras that some of them still need."""
    if find_spec(SERVER_PACKAGE) is None:
        return ("server", "emulator")
    missing: Sequence[str] = import_module(f"{SERVER_PACKAGE}.cli").add_commands(commands)
    return missing


def _load(run: str | Run) -> Run:
    """Return a command's function, given the function or `module:function`."""
    if not isinstance(run, str):
        return run
    module, function = run.split(":")
    loaded: Run = getattr(import_module(module), function)
    return loaded


def _print_completion(options: argparse.Namespace) -> int:
    import shtab  # noqa: PLC0415  # `--help` does not need it

    sys.stdout.write(shtab.complete(options.root, shell=options.shell) + "\n")
    return ExitCode.OK


class _Version(argparse.Action):
    """Print the version, which is looked up only here because that takes time."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"taskgate {version('taskgate')}\n")
        parser.exit()
