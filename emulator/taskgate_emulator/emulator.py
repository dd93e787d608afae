"""The emulator as a library: a local AWS for the duration of a `with` block.

    with Emulator() as aws:
        client = boto3.client(
            "deadline",
            endpoint_url=aws.endpoint_url,
            config=Config(inject_host_prefix=False),
            ...
        )

Both services prefix the host name per operation (`management.`, `workflows-`, ...). A local address
has no such names, so the prefix must be disabled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Thread
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

__all__ = ["Emulator"]

_T = TypeVar("_T")
_LOOPBACK = "127.0.0.1"


class Emulator:
    """AWS Deadline Cloud and AWS HealthOmics on one local port, served by a thread of its own.

    Args:
        host: the address to listen on.
        port: 0 for a free port.
        clock: returns the current time; with a `ManualClock`, tasks progress when it is advanced.
        speed: seconds of simulated work per second of the clock.
        random: generates ids; the same seed generates the same ids.
        seed: the initial resources: `demo` (see `taskgate_emulator.seeds.ids`), `empty`, or a
            file of calls.
        quotas: AWS's quotas: `off`, `aws`, a file, or a mapping as `quotas.load_quotas` takes.
        faults: initial fault rules, or a file of them; `faults` adds others later.
        state: a file that keeps the state. If it already has a state, the emulator restores it
            and ignores the seed.
        region: has the seed and is what this object reads and changes. Requests that are signed
            for another region reach an account of their own, which is empty at first.

    Raises:
        ValueError: an argument is invalid; the message says why.
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
        quotas: str | Path | Mapping[str, Any] = "off",
        faults: str | Path | Iterable[Fault] = (),
        state: str | Path | None = None,
        region: str = REGION,
    ) -> None:
        self._host, self._port = host, port
        self.region = region
        self._registry = Registry(
            Settings(
                clock=clock,
                speed=speed,
                random=random,
                seed=seed,
                quotas=quotas,
                faults=faults,
                state=state,
                region=region,
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

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start listening; return when the endpoint accepts requests.

        Raises:
            OSError: the address is in use or not local.
            RuntimeError: the emulator is already running.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator is already running")
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
        """Close every socket and end the thread; do nothing if the emulator is not running."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._stop)
        self._join()

    @property
    def endpoint_url(self) -> str:
        """The value of boto3's `endpoint_url`.

        Raises:
            RuntimeError: the emulator is not running.
        """
        if self._url is None:
            raise RuntimeError("the emulator is not running: use a with block, or call start()")
        return self._url

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables that make AWS's SDKs and command lines use this emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    @property
    def coverage(self) -> Mapping[str, Mapping[str, str]]:
        """Whether each operation is `behaviour`, `generic` or `501`, by service and operation."""
        return self._registry.dispatcher.coverage()

    @property
    def events(self) -> list[Event]:
        """The latest events sent to EventBridge, oldest first."""
        return self.edit(lambda account: list(account.events.latest))

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests, oldest first; their number is limited."""
        return self._registry.recorder.snapshot()

    @property
    def request_count(self) -> int:
        """The number of requests so far, including those no longer in `requests`."""
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
        """Return a canned response to the next calls of an operation.

        Args:
            service: botocore's name, `deadline` or `omics`.
            operation: AWS's name, such as `GetTask`; it need not be emulated.
            status: the HTTP status.
            headers: added to those that every response has.
            body: JSON, or raw bytes.
            times: the number of calls.
        """
        self._registry.dispatcher.operation(service, operation)
        content = body if isinstance(body, bytes) else json_body(body)
        merged = {"Content-Type": "application/json", **(headers or {})}
        response = HttpResponse(status=status, headers=merged, body=content)
        self._registry.canned.add(service, operation, response, times)

    def discard(self, service: str, operation: str) -> None:
        """Remove the remaining canned responses of an operation, set by `respond` and `fail`."""
        while self._registry.canned.take(service, operation) is not None:
            pass

    def fail(
        self,
        service: str,
        operation: str,
        code: str,
        *,
        message: str = "injected by a test",
        members: Mapping[str, Any] | None = None,
        times: int = 1,
    ) -> None:
        """Return an error of the service's model to the next calls of an operation.

        Args:
            service: botocore's name, `deadline` or `omics`.
            operation: AWS's name.
            code: the error shape, which defines status, headers and required members. A code that
                the model does not have becomes a 500 without members.
            message: the error's message.
            members: further members, such as `retryAfterSeconds` or `resourceId`.
            times: the number of calls.
        """
        model = self._registry.dispatcher.operation(service, operation)
        response = error_response(AwsError(code, message, members), model.service_model)
        self._registry.canned.add(service, operation, response, times)

    def edit(self, change: Callable[[Account], _T]) -> _T:
        """Run a function on the account between two requests and return its result."""

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
            # Until it is ready, start() raises the error.
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
