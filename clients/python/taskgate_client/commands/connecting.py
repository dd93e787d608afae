"""How commands reach a server and say who calls: arguments, and variables for those left out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from taskgate_client.client import Client

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
FILES: Final = {
    "ca": "who must have signed the server's certificate; default: the usual authorities",
    "cert": "your certificate, for a server that asks for one",
    "key": "its key",
    "token": "a bearer token, which is read for each call",
}
VARIABLES: Final = (
    *("TASKGATE_ADDRESS", "TASKGATE_TARGET", "TASKGATE_TLS", "TASKGATE_SERVER_NAME"),
    *(f"TASKGATE_{name.upper()}_FILE" for name in FILES),
)
"""The environment variables that commands read."""
_YES: Final = ("1", "true", "yes", "on")


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that every command that calls a server has."""
    group = parser.add_argument_group(
        "connection", "Each has a variable, such as TASKGATE_ADDRESS or TASKGATE_TOKEN_FILE."
    )
    group.add_argument(
        "--address",
        default=os.environ.get("TASKGATE_ADDRESS", DEFAULT_ADDRESS),
        help="of the server; default: %(default)s",
    )
    group.add_argument(
        "--target",
        metavar="NAME",
        default=os.environ.get("TASKGATE_TARGET", ""),
        help="the AWS account and region, by the server's name for it",
    )
    group.add_argument(
        "--tls",
        action="store_true",
        default=os.environ.get("TASKGATE_TLS", "").lower() in _YES,
        help="encrypt, for a server with a public certificate; files and --server-name imply it",
    )
    for name, what in FILES.items():
        path = os.environ.get(f"TASKGATE_{name.upper()}_FILE")
        group.add_argument(
            f"--{name}-file", metavar="FILE", type=Path, default=path and Path(path), help=what
        )
    group.add_argument(
        "--server-name",
        metavar="NAME",
        default=os.environ.get("TASKGATE_SERVER_NAME"),
        help="the one in the server's certificate, where the address has another",
    )


def connected(options: argparse.Namespace) -> Client:
    """A client as the arguments say.

    Raises:
        ValueError: they do not fit together.
        OSError: a file cannot be read.
    """
    # What comes with gRPC is imported when a command is run: `--help` has to be quick.
    from taskgate_client.connection import connect  # noqa: PLC0415
    from taskgate_client.security import Tls  # noqa: PLC0415

    files = (options.ca_file, options.cert_file, options.key_file, options.server_name)
    tls = None
    if options.tls or any(files):
        ca, certificate, key, name = files
        tls = Tls(ca=ca, certificate=certificate, key=key, server_name=name)
    if options.token_file is not None:
        options.token_file.read_bytes()  # one that is not there is told now, and not by gRPC
    return connect(options.address, tls=tls, token=options.token_file, target=options.target)
