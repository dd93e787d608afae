"""The `taskgate` command: parses arguments, and finds what does the rest.

What calls a server is in `taskgate_client.commands` and needs the base install only. `serve`,
`emulate` and `demo` need the extras. Everything is imported when it is asked for.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from taskgate_client.commands import arguments as caller
from taskgate_client.commands.exits import Exit

Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code, one of `Exit`."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not _emulate:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return _load(options.run)(options)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Python would flush stdout at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except ModuleNotFoundError as error:
        if options.extras is None or (error.name or "").startswith("taskgate"):
            raise
        return _fail(f"{error}: this command needs pip install 'taskgate[{options.extras}]'")


def _load(run: str | Run) -> Run:
    """A command by its place, `module:function`, or itself."""
    if not isinstance(run, str):
        return run
    module, function = run.split(":")
    loaded: Run = getattr(import_module(module), function)
    return loaded


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskgate",
        description="One gRPC service for AWS Deadline Cloud and HealthOmics tasks.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.set_defaults(extras=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    caller.add_commands(commands)
    _add_serve(commands)
    _add_emulate(commands)
    _add_demo(commands)
    _add_policy(commands)
    caller.add_completion(commands, parser)
    return parser


def _add_serve(commands: caller.Commands) -> None:
    parser = commands.add_parser("serve", help="run the server until SIGTERM")
    parser.add_argument("--config", type=Path, help="TOML file of settings")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that share the port")
    parser.set_defaults(run=_serve, extras="server")


def _add_emulate(commands: caller.Commands) -> None:
    # Its options are parsed by the emulator's own module, which only the extra has.
    parser = commands.add_parser(
        "emulate", help="run a local AWS with demo tasks until SIGTERM", add_help=False
    )
    parser.set_defaults(run=_emulate, extras="emulator")


def _add_demo(commands: caller.Commands) -> None:
    parser = commands.add_parser("demo", help="run emulator and server, read tasks, stop")
    parser.add_argument("--keep-running", action="store_true", help="serve until Ctrl-C")
    parser.set_defaults(run=_demo, extras="server,emulator")


def _add_policy(commands: caller.Commands) -> None:
    parser = commands.add_parser("policy", help="check a policy before a server has it")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="parse it, and make the decisions of the examples")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="Cedar policies")
    check.add_argument("--examples", type=Path, metavar="FILE", help="YAML: see docs/security.md")
    check.set_defaults(run=_check_policy, extras="server")


class _Version(argparse.Action):
    """Prints the version; it is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"taskgate {version('taskgate')}\n")
        parser.exit()


def _stop_before_the_start() -> None:
    """Let SIGTERM and SIGHUP end the process until the server can drain.

    The kernel does so, but not for the first process of a container (pid_namespaces(7)): a signal
    that comes while it imports would be lost.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # by nohup(1)
            signal.signal(number, lambda *_: os._exit(Exit.OK))


def _serve(options: argparse.Namespace) -> int:
    _stop_before_the_start()
    from taskgate_server import config, process  # noqa: PLC0415

    file = options.config or _path(os.environ.get(config.CONFIG_FILE_VARIABLE))
    more = {} if options.workers is None else {"workers": options.workers}
    return process.serve(lambda: config.load_settings(file, **more))


def _emulate(options: argparse.Namespace) -> int:
    _stop_before_the_start()
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
        wanted = examples.load_examples(options.examples) if options.examples else []
    except FileFaultError as error:
        return _fail(str(error))
    failures = examples.find_failures(policy, wanted)
    if failures:
        return _fail(*failures)
    sys.stdout.write(f"the policy is valid; {len(wanted)} examples checked\n")
    return 0


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _fail(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"taskgate: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
