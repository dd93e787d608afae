"""Clients of the server whose HTTP exchanges a test answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, cast

from taskgate_server.config import AwsSettings
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.factory import AwsClient, make_client


class Inline(Executor):
    """Runs work immediately, in the caller's thread."""

    def __init__(self, *_: object, **__: object) -> None:
        """Accept the arguments of any executor."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  # the future's, as with a real executor
            future.set_exception(error)
        return future


class _Permanent:
    """Credentials that are never renewed, and connections that need not be closed."""

    async def renew(self) -> None:
        """Do nothing."""

    async def retire(self) -> None:
        """Do nothing."""


PERMANENT = cast("Any", _Permanent())
"""For clients that are not connected to anything."""


def unconnected_client(address: tuple[str, int] | None = None, **more: Any) -> AwsClient:
    """Return a client without boto3's."""
    return AwsClient(**unconnected(address, **more))


def unconnected(address: tuple[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """Return the arguments of a client without boto3's."""
    arguments: dict[str, Any] = {
        "client": None,
        "methods": {},
        "region": "us-west-2",
        "endpoint": "aws.test",
        "transport": PERMANENT,
        "credentials": PERMANENT,
        "address": address,
    }
    return {**arguments, **more}


def answered_client(spec: ServiceSpec, settings: AwsSettings, answer: Any) -> AwsClient:
    """Return a client whose exchanges are `answer`, a handler of botocore's event before-send."""
    made = make_client(spec, settings)
    events: Any = made.client.meta.events  # handlers may return responses, unlike the stubs
    events.unregister("before-send", made.transport.send)
    events.register("before-send", answer)
    return made
