"""Processes that start in milliseconds: forks of a process that has imported their modules."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
# pytest is the main module of a test process, which each fork imports as well.
_CONTEXT.set_forkserver_preload(["pytest", "tests.attack.attacks", "tests.isolation.failures"])


@contextmanager
def forked(target: Callable[..., object], *arguments: Any) -> Iterator[Connection]:
    """Call a function in another process, which is killed when the block ends.

    Args:
        target: A function of a module; its first argument is a connection to send messages by.
        arguments: Its other arguments.

    Yields:
        The connection that receives the messages.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=target, args=(sender, *arguments))
    process.start()
    sender.close()
    try:
        yield receiver
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()
