"""The `taskgate` command: parses arguments, nothing else.

`get`, `info` and `health` need the base install only, `serve`, `emulate` and `demo` the extras:
they are imported when asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

DEFAULT_ADDRESS = "127.0.0.1:50051"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, 1 for a failure that is told on stderr, 2 for bad usage."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not _emulate:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130  # as shells count SIGINT
    except ModuleNotFoundError as error:
        if options.extras is None or (error.name or "").startswith("taskgate"):
            raise
        return _fail(f"{error}: this command needs pip install 'taskgate[{options.extras}]'")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskgate",
        description="One gRPC service for AWS Deadline Cloud and HealthOmics tasks.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.set_defaults(extras=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server until SIGTERM")
    serve.add_argument("--config", type=Path, help="TOML file of settings")
    serve.set_defaults(run=_serve, extras="server")

    # Its options are parsed by the emulator's own module, which only the extra has.
    emulate = commands.add_parser(
        "emulate", help="run a local AWS with demo tasks until SIGTERM", add_help=False
    )
    emulate.set_defaults(run=_emulate, extras="emulator")

    demo = commands.add_parser("demo", help="run emulator and server, read tasks, stop")
    demo.add_argument("--keep-running", action="store_true", help="serve until Ctrl-C")
    demo.set_defaults(run=_demo, extras="server,emulator")

    get = commands.add_parser("get", help="show a task")
    get.add_argument("name", help="such as omics/runs/1234567/tasks/7654321")
    get.add_argument("--json", action="store_true", help="the whole message as JSON")
    _add_address(get).set_defaults(run=_get)

    info = commands.add_parser("info", help="show what a server serves")
    _add_address(info).set_defaults(run=_info)

    health = commands.add_parser("health", help="exit 0 if the server is serving")
    health.add_argument("--service", default="", help="full name of a gRPC service; default: all")
    _add_address(health).set_defaults(run=_health)
    return parser


class _Version(argparse.Action):
    """Prints the version; it is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"taskgate {version('taskgate')}\n")
        parser.exit()


def _add_address(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    address = os.environ.get("TASKGATE_ADDRESS", DEFAULT_ADDRESS)
    parser.add_argument(
        "--address", default=address, help="of the server; default: TASKGATE_ADDRESS or %(default)s"
    )
    return parser


def _serve(options: argparse.Namespace) -> int:
    from taskgate_server import app, config, server, telemetry  # noqa: PLC0415

    file = options.config or _path(os.environ.get(config.CONFIG_FILE_VARIABLE))
    try:
        settings = config.load_settings(file)
        telemetry.set_up_logging(settings.log_level)
        asyncio.run(app.run(settings))
    except config.SettingsError as error:
        return _fail(*error.faults)
    except server.ListenError as error:
        return _fail(str(error))
    # A boto3 call that hangs would keep its thread, and so the process, until its read timeout.
    logging.shutdown()
    os._exit(0)


def _emulate(options: argparse.Namespace) -> int:
    from taskgate_emulator import command  # noqa: PLC0415

    return command.run(options.rest)


def _demo(options: argparse.Namespace) -> int:
    from taskgate_server import demo  # noqa: PLC0415

    try:
        return demo.keep_running() if options.keep_running else demo.show()
    except demo.StartError as error:
        return _fail(str(error))


def _get(options: argparse.Namespace) -> int:
    from google.protobuf import json_format  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    from taskgate_client import CallError, connect, render  # noqa: PLC0415

    with connect(options.address) as client:
        try:
            task = client.get_task(options.name)
        except CallError as error:
            Console(stderr=True).print(render.error(error))
            return 1
    if options.json:
        sys.stdout.write(json_format.MessageToJson(task) + "\n")
    else:
        Console().print(render.task(task))
    return 0


def _info(options: argparse.Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415

    from taskgate_client import CallError, connect, render  # noqa: PLC0415

    with connect(options.address) as client:
        try:
            info = client.get_server_info()
        except CallError as error:
            Console(stderr=True).print(render.error(error))
            return 1
    Console().print(render.server_info(info))
    return 0


def _health(options: argparse.Namespace) -> int:
    from taskgate_client import CallError, connect  # noqa: PLC0415

    with connect(options.address) as client:
        try:
            serving = client.is_serving(options.service, time_limit=3)
        except CallError as error:
            return _fail(str(error))
    sys.stdout.write("SERVING\n" if serving else "NOT_SERVING\n")
    return 0 if serving else 1


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _fail(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"taskgate: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
