"""The runners: programs that execute commands with the client of a language."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import Any

CLIENTS = Path(__file__).parents[1]
SECONDS = 60.0
"""Timeout of a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How to start the runner of a language, after `make` has built it."""

    command: Sequence[str]
    folder: Path = CLIENTS
    toolchain: str | None = None
    """The program that builds it; None for Python."""

    @property
    def is_available(self) -> bool:
        """Whether its toolchain is installed."""
        return self.toolchain is None or shutil.which(self.toolchain) is not None


LANGUAGES: Mapping[str, Language] = {
    "python": Language(command=(sys.executable, "-m", "conformance.python_runner")),
    "asyncio": Language(command=(sys.executable, "-m", "conformance.asyncio_runner")),
    "go": Language(command=("build/conformance",), folder=CLIENTS / "go", toolchain="go"),
    "typescript": Language(
        command=("node", "build/conformance/runner.js"),
        folder=CLIENTS / "typescript",
        toolchain="npm",
    ),
    "java": Language(
        command=(
            *("java", "-cp", "target/classes:target/test-classes:target/dependency/*"),
            "io.taskgate.client.conformance.Runner",
        ),
        folder=CLIENTS / "java",
        toolchain="mvn",
    ),
    "rust": Language(
        command=("target/debug/examples/conformance",), folder=CLIENTS / "rust", toolchain="cargo"
    ),
}


class RunnerError(Exception):
    """A runner broke the protocol: it exited, timed out, or printed invalid JSON."""


class Runner:
    """A runner in a process of its own. Use it in a `with`."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._lines: Queue[str] = Queue()

    def __enter__(self) -> Runner:
        self._process = subprocess.Popen(
            self._language.command,
            cwd=self._language.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if status and kind is None:
            raise RunnerError(f"the runner exited with status {status}")

    def run(self, command: Mapping[str, Any]) -> Any:
        """Run a command and return its outcome.

        Raises:
            RunnerError: the runner broke the protocol.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=SECONDS)
        except Empty:
            raise RunnerError(f"no outcome of {command} within {SECONDS:g} s") from None
        if not line:
            raise RunnerError(f"the runner exited during {command}")
        try:
            return json.loads(line)
        except ValueError:
            raise RunnerError(f"invalid JSON for {command}: {line!r}") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
