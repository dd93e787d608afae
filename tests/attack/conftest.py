"""Fixtures of the attack suite."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from tests.support.guarded_process import GuardedServer, guarded_server

Sites = Callable[..., GuardedServer]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """Yield a local AWS whose tasks stay as they are: tests take longer than tasks do."""
    with Emulator(clock=ManualClock()) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def sites(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Yield a function that returns the site with some weakness and settings.

    A site starts when a test first needs it, which takes seconds, and serves the other tests of
    the module too. Each has a policy file of its own; a test that changes it restores it.
    """
    running: dict[tuple[tuple[str, str], ...], GuardedServer] = {}
    with ExitStack() as stack:

        def site(**options: str) -> GuardedServer:
            key = tuple(sorted(options.items()))
            if key not in running:
                weakness = options.pop("weakness", "none")
                command = [sys.executable, "-m", "tests.attack.weakened", weakness, "serve"]
                server = guarded_server(
                    aws, tmp_path_factory.mktemp("site"), command=command, **options
                )
                running[key] = stack.enter_context(server)
            return running[key]

        yield site
