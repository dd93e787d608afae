"""Options and environment variables that say which server to call, and how."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from taskgate_client.client import Client

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
FILES: Final = {
    "ca": "CA certificates that sign the server's certificate; default: public CAs",
    "cert": "client certificate, for a server that requires one",
    "key": "private key of the client certificate",
    "token": "bearer token; read again for each call",
}
VARIABLES: Final = (
    *("TASKGATE_ADDRESS", "TASKGATE_TARGET", "TASKGATE_TLS", "TASKGATE_SERVER_NAME"),
    "TASKGATE_CONSOLE",
    *(f"TASKGATE_{name.upper()}_FILE" for name in FILES),
)
"""The environment variables that commands read."""
_TRUE: Final = ("1", "true", "yes", "on")


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that calls a server."""
    group = parser.add_argument_group(
        "connection", "Each has a variable, such as TASKGATE_ADDRESS or TASKGATE_TOKEN_FILE."
    )
    group.add_argument(
        "--address",
        default=os.environ.get("TASKGATE_ADDRESS", DEFAULT_ADDRESS),
        help="address of the server; default: %(default)s",
    )
    group.add_argument(
        "--target",
        metavar="NAME",
        default=os.environ.get("TASKGATE_TARGET", ""),
        help="AWS account and region, by the name that the server gives it",
    )
    group.add_argument(
        "--tls",
        action="store_true",
        default=os.environ.get("TASKGATE_TLS", "").lower() in _TRUE,
        help="use TLS with public CAs; certificate options and --server-name imply it",
    )
    for name, description in FILES.items():
        path = os.environ.get(f"TASKGATE_{name.upper()}_FILE")
        group.add_argument(
            f"--{name}-file",
            metavar="FILE",
            type=Path,
            default=path and Path(path),
            help=description,
        )
    group.add_argument(
        "--server-name",
        metavar="NAME",
        default=os.environ.get("TASKGATE_SERVER_NAME"),
        help="name in the server's certificate, if it differs from the address",
    )


def connect_from(options: argparse.Namespace) -> Client:
    """Return a client for the server that the options name.

    Raises:
        ValueError: the options contradict each other.
        OSError: a file cannot be read.
    """
    # gRPC is imported when a command runs, not for `--help`, which has to be fast.
    from taskgate_client.connection import connect  # noqa: PLC0415
    from taskgate_client.security import Tls  # noqa: PLC0415

    files = (options.ca_file, options.cert_file, options.key_file, options.server_name)
    tls = None
    if options.tls or any(files):
        ca, certificate, key, name = files
        tls = Tls(ca=ca, certificate=certificate, key=key, server_name=name)
    if options.token_file is not None:
        options.token_file.read_bytes()  # report a missing file here, not as a failed call
    return connect(options.address, tls=tls, token=options.token_file, target=options.target)
