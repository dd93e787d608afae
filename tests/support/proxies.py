"""Starts the proxies of docs/proxies.md with other ports, paths and timeouts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.replicas import ENVOY, ROOT
from tests.support.server_process import is_serving

DOCS: Final = ROOT / "docs/proxies.md"
DOCS_TIMEOUT: Final = "75s"
IDLE_SECONDS: Final = 3
"""The idle timeout in the tests."""

# Only Debian has these programs; with CI=true nothing is skipped.
PACKAGES: Final = {"nginx": "nginx", "haproxy": "haproxy", "caddyfile": "caddy"}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs."""

    language: str
    """Of its code block in the docs."""
    address: str


def code_blocks() -> dict[str, str]:
    """Return the configurations in the docs by the languages of their code blocks."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    return {language: text for language, text in blocks if language != "sh"}


def _nginx(folder: Path, file: Path) -> list[str]:
    # Debian's paths need root.
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = " ".join(f"{each}_temp_path {folder};" for each in paths)
    file.write_text(file.read_text().replace("http {", f"http {{\n  access_log off; {own}"))
    directives = f"daemon off; pid {folder}/nginx.pid; error_log stderr;"
    return [_program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(file), "-g", directives]


def _haproxy(_: Path, file: Path) -> list[str]:
    return [_program("haproxy"), "-db", "-f", str(file)]


def _caddy(_: Path, file: Path) -> list[str]:
    return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


def _envoy(folder: Path, file: Path) -> list[str]:
    assert ENVOY.exists(), "make .venv-tools/envoy/stamp installs Envoy"
    image = folder / "taskgate.binpb"
    buf = ROOT / ".venv/bin/buf"
    subprocess.run([buf, "build", "--output", image], cwd=ROOT, check=True)
    file.write_text(file.read_text().replace("/etc/envoy/taskgate.binpb", str(image)))
    return [str(ENVOY), "-c", str(file), "--concurrency", "1", "--disable-hot-restart"]


COMMANDS: Final[Mapping[str, Callable[[Path, Path], list[str]]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddyfile": _caddy,
    "yaml": _envoy,
}


def _program(name: str) -> str:
    # Debian's servers are in sbin, which is not in everybody's PATH.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    return shutil.which(name, path=path) or name


def is_missing(language: str) -> bool:
    package = PACKAGES.get(language)
    return package is not None and shutil.which(_program(package)) is None


@contextmanager
def running_proxy(language: str, folder: Path, server: str) -> Iterator[Proxy]:
    """Start a proxy of docs/proxies.md in front of a server, and wait until it serves.

    Args:
        language: of the code block in the docs.
        folder: for its files.
        server: the address of the server.
    """
    (port,) = free_ports(1)
    text = code_blocks()[language]
    for documented, used in {
        "50060": str(port),
        "50051": server.rpartition(":")[2],
        DOCS_TIMEOUT: f"{IDLE_SECONDS}s",
    }.items():
        assert documented in text or language == "caddyfile"
        text = text.replace(documented, used)
    with started(language, folder, text, port) as proxy:
        yield proxy


@contextmanager
def started(
    language: str,
    folder: Path,
    text: str,
    port: int,
    is_ready: Callable[[str], bool] = is_serving,
) -> Iterator[Proxy]:
    """Start a proxy, and wait until it serves.

    Args:
        language: Of its configuration.
        folder: For its files.
        text: Its configuration.
        port: On which the configuration makes it listen.
        is_ready: Whether the proxy serves at an address; by default gRPC's health checks.
    """
    if is_missing(language):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(  # CI has every package
            f"needs Debian's package {PACKAGES[language]}"
        )
    file = folder / f"proxy.{language}"
    file.write_text(text)
    command = COMMANDS[language](folder, file)
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log, env=environment, cwd=folder)
    try:
        wait_until(lambda: process.poll() is not None or is_ready(f"127.0.0.1:{port}"))
        assert process.poll() is None, (folder / "proxy.log").read_text()
        yield Proxy(language, f"127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
