"""The emulator as a library: a local AWS that lives as long as a `with` block.

    with Emulator() as aws:
        client = boto3.client(
            "deadline",
            endpoint_url=aws.endpoint_url,
            config=Config(inject_host_prefix=False),
            ...
        )

The host prefix must be off: both services prefix the host name per operation (`management.`,
`workflows-`, ...), and a local address has no such names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from taskgate_emulator.control import JobControl, RunControl
from taskgate_emulator.core.clock import Clock, system_clock
from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.event_sinks import Event
from taskgate_emulator.core.faults import Fault, Faults
from taskgate_emulator.core.observation import RecordedRequest
from taskgate_emulator.core.registry import Registry, Settings
from taskgate_emulator.core.responses import HttpResponse, error_response, json_body
from taskgate_emulator.core.server import serve_until
from taskgate_emulator.core.state import REGION, Account

__all__ = ["Emulator", "serve"]

_T = TypeVar("_T")
_LOOPBACK = "127.0.0.1"


class Emulator:
    """AWS Deadline Cloud and AWS HealthOmics, on one port of this machine, in a thread of its own.

    Args:
        host: the address to listen on.
        port: 0 takes any that is free.
        clock: what time it is for the tasks; with a `ManualClock` they move when it is advanced.
        speed: how many seconds of work tasks do in one second of the clock.
        random: makes ids; the same start makes the same ids.
        seed: the initial resources: `demo` (see `taskgate_emulator.seeds.ids`), `empty`, or a
            file of calls.
        quotas: what AWS allows: `off`, `aws`, a file, or a mapping as `quotas.load_quotas` takes.
        faults: what goes wrong: rules, or a file of them; `faults` sets others later.
        demo: False is another word for `seed="empty"`.
        state: a file that keeps everything. When it holds something already, the emulator goes
            on from there, and the seed is not used.

    Raises:
        ValueError: an argument that cannot be; the message says why.
    """

    def __init__(  # noqa: PLR0913 each has a default, and a test gives the one or two it is about
        self,
        *,
        host: str = _LOOPBACK,
        port: int = 0,
        clock: Clock = system_clock,
        speed: float = 1.0,
        random: Random | None = None,
        seed: str | Path = "demo",
        demo: bool = True,
        quotas: str | Path | Mapping[str, Any] = "off",
        faults: str | Path | Iterable[Fault] = (),
        state: str | Path | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._registry = Registry(
            Settings(
                clock=clock,
                speed=speed,
                random=random,
                seed=seed if demo else "empty",
                quotas=quotas,
                faults=faults,
                state=state,
            )
        )
        self.faults: Faults = self._registry.faults
        self.jobs = JobControl(self.edit)
        self.runs = RunControl(self.edit)
        self._url: str | None = None
        self._stop: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when the endpoint can be called.

        Raises:
            OSError: the address is in use or not ours.
            RuntimeError: it runs already.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator runs already")
        ready: Future[str] = Future()
        self._thread = Thread(
            target=self._run, args=(ready,), name="taskgate-emulator", daemon=True
        )
        self._thread.start()
        try:
            self._url = ready.result()
        except BaseException:
            self._join()
            raise

    def stop(self) -> None:
        """Close every socket and end the thread; nothing happens when it does not run."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop)
        self._join()

    @property
    def endpoint_url(self) -> str:
        """What boto3 calls `endpoint_url`.

        Raises:
            RuntimeError: the emulator does not run.
        """
        if self._url is None:
            raise RuntimeError("the emulator does not run: use it in a with block, or start() it")
        return self._url

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables that lead AWS's SDKs and command line here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
        }

    @property
    def coverage(self) -> Mapping[str, Mapping[str, str]]:
        """Service to operation to how it is emulated: `behaviour`, `generic` or `501`."""
        return self._registry.dispatcher.coverage()

    @property
    def events(self) -> list[Event]:
        """The latest events that went to EventBridge, oldest first."""
        return self.edit(lambda account: list(account.events.latest))

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests, oldest first; a bounded number is kept."""
        return self._registry.recorder.snapshot()

    @property
    def request_count(self) -> int:
        """How many requests have come, those no longer kept included."""
        return self._registry.recorder.count

    def respond(
        self,
        service: str,
        operation: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | bytes = b"",
        times: int = 1,
    ) -> None:
        """Answer the next calls of an operation with this, whatever they ask for.

        Args:
            service: botocore's name, `deadline` or `omics`.
            operation: AWS's name, such as `GetTask`; it need not be one that the emulator has.
            status: of HTTP.
            headers: added to the ones that every answer has.
            body: JSON, or bytes that are sent as they are.
            times: how many calls.
        """
        self._registry.dispatcher.operation(service, operation)
        content = body if isinstance(body, bytes) else json_body(body)
        merged = {"Content-Type": "application/json", **(headers or {})}
        response = HttpResponse(status=status, headers=merged, body=content)
        self._registry.canned.add(service, operation, response, times)

    def discard(self, service: str, operation: str) -> None:
        """Take back all answers that `respond` and `fail` have put there and nobody has had."""
        while self._registry.canned.take(service, operation) is not None:
            pass

    def fail(
        self,
        service: str,
        operation: str,
        code: str,
        *,
        message: str = "asked for by a test",
        members: Mapping[str, Any] | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next calls of an operation with an error of the service's model.

        Args:
            service: botocore's name, `deadline` or `omics`.
            operation: AWS's name.
            code: the error shape; status, headers and required members are as it says. A code
                that the model does not have becomes a bare 500.
            message: the error's message.
            members: further members, such as `retryAfterSeconds` or `resourceId`.
            times: how many calls.
        """
        model = self._registry.dispatcher.operation(service, operation)
        response = error_response(AwsError(code, message, members), model.service_model)
        self._registry.canned.add(service, operation, response, times)

    def edit(self, change: Callable[[Account], _T]) -> _T:
        """Look at the state, or change it, between two requests; returns what `change` does."""

        def make() -> _T:
            account = self._registry.account
            account.advance(account.clock())
            try:
                return change(account)
            finally:
                account.settle()

        if self._loop is None:
            return make()

        async def run() -> _T:
            return make()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _run(self, ready: Future[str]) -> None:
        try:
            asyncio.run(self._serve(ready.set_result))
        except BaseException as error:
            # Before it is ready, the failure belongs to whoever called start().
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, ready: Callable[[str], None]) -> None:
        stop = asyncio.Event()
        self._loop, self._stop = asyncio.get_running_loop(), stop.set
        await serve_until(stop, self._registry, self._host, self._port, ready)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread = self._loop = self._stop = self._url = None


async def serve(
    host: str = _LOOPBACK,
    port: int = 0,
    *,
    clock: Clock = system_clock,
    speed: float = 1.0,
    ready: Callable[[str], None],
) -> None:
    """Serve the demo in this event loop until the task is cancelled.

    Args:
        host: the address to listen on.
        port: 0 takes any that is free.
        clock: what time it is for the tasks.
        speed: how many seconds of work tasks do in one second of the clock.
        ready: is told the URL of the endpoint, once it can be called.

    Raises:
        OSError: the address is in use or not ours.
    """
    await serve_until(
        asyncio.Event(), Registry(Settings(clock=clock, speed=speed)), host, port, ready
    )
