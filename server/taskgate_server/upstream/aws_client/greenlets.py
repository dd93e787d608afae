"""Runs blocking code, such as boto3's, on the event loop, in a greenlet.

The technique of SQLAlchemy's asyncio support. The code calls a function that has to wait, such as
an HTTP exchange; that function calls `wait`, which suspends the whole stack until the awaitable is
done. No thread is involved, and cancelling the task cancels what the code waits for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

P = ParamSpec("P")
T = TypeVar("T")


class _Code(greenlet):
    """The greenlet in which the blocking code runs."""


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of blocking code, which waits with `wait`.

    Raises:
        Exception: what the code raises.
        asyncio.CancelledError: the task was cancelled; what the code waits for is, too.
    """
    code = _Code(function, getcurrent())
    result: Any = code.switch(*args, **kwargs)
    while not code.dead:
        try:
            value = await result
        except BaseException as error:  # noqa: BLE001  # the code handles it
            result = code.throw(error)
        else:
            result = code.switch(value)
    outcome: T = result
    return outcome


def wait(awaitable: Awaitable[T]) -> T:
    """Return the result of an awaitable; called by code that runs in `run`.

    Raises:
        RuntimeError: called elsewhere.
        Exception: what the awaitable raises.
    """
    code = getcurrent()
    if not isinstance(code, _Code) or code.parent is None:
        raise RuntimeError("wait() is called outside of run()")
    result: T = code.parent.switch(awaitable)
    return result
