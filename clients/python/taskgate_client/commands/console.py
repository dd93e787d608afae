"""`taskgate open`."""

from __future__ import annotations

import sys
import webbrowser
from argparse import Namespace
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from taskgate_client.commands.exit_codes import ExitCode
from taskgate_client.names import DeadlineQueueName, parse_parent_name

CONSOLE_PORT: Final = 8080
"""The usual port of the web console, where the server's address does not name it."""


def open_(options: Namespace) -> int:
    """Print the address of a page of the web console, and open it in the browser."""
    try:
        url = page_url(console_url(options), options.name, options.target)
    except ValueError as error:
        sys.stderr.write(f"taskgate open: {error}\n")
        return ExitCode.USAGE
    sys.stdout.write(f"{url}\n")
    if options.print or webbrowser.open(url):
        return ExitCode.OK
    sys.stderr.write("taskgate open: no browser was found; open the address in one\n")
    return ExitCode.FAILURE


def console_url(options: Namespace) -> str:
    """Return the address of the console: as given, or on the host of the server.

    Raises:
        ValueError: it is no HTTP address.
    """
    if not options.console:
        is_tls = options.tls or options.ca_file or options.cert_file or options.server_name
        scheme = "https" if is_tls else "http"
        return f"{scheme}://{_host(options.address)}:{CONSOLE_PORT}/"
    parts = urlsplit(options.console)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            f"{options.console!r} is not the address of a console;"
            " use a form such as https://taskgate.example.com/"
        )
    return options.console if options.console.endswith("/") else f"{options.console}/"


def page_url(console: str, name: str, target: str) -> str:
    """Return the address of the page of a task or a parent; of the start page without a name.

    Args:
        console: the address of the start page, with a slash at its end.
        name: of a task or a parent, or empty.
        target: the AWS account and region; empty for the default one.

    Raises:
        ValueError: the name is neither.
    """
    query = {"target": target} if target else {}
    if not name:
        page = ""
    elif _is_task(name):
        page = f"task/{quote(name)}"
    elif isinstance(parse_parent_name(name), DeadlineQueueName):
        page, query = "", {"in": name, **query}  # the start page lists the jobs of a queue
    else:
        page = f"parent/{quote(name)}"
    return f"{console}#/{page}{'?' if query else ''}{urlencode(query, safe='/')}"


def _is_task(name: str) -> bool:
    """Return whether a name looks like that of a task, also of a service of a plug-in."""
    service, *rest = name.split("/")
    return bool(service) and rest[-2:-1] == ["tasks"] and all(rest)


def _host(address: str) -> str:
    """Return the host of a server's address; this machine for an address without a host."""
    if address.startswith(("unix:", "unix-abstract:")):
        return "127.0.0.1"
    # gRPC's forms: host:port, dns:///host:port, ipv4:host:port, ipv6:[host]:port
    for scheme in ("dns:///", "dns:", "ipv4:", "ipv6:"):
        address = address.removeprefix(scheme)
    host = address.partition(",")[0]
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0] or "127.0.0.1"
