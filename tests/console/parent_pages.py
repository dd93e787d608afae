"""The page of a parent, and a server that can be started anew at the same address."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from taskgate_emulator import Emulator
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server_process import ServerProcess, running_process

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOAD_SECONDS: Final = 20

_FRAMES: Final = """seconds => new Promise(resolve => {
    const times = [];
    const end = performance.now() + seconds * 1000;
    const frame = now => {
        times.push(now);
        if (now < end) requestAnimationFrame(frame);
        else resolve(times);
    };
    requestAnimationFrame(frame);
})"""


class RestartableServer:
    """A server process on an emulator, at an address that it keeps when it is started anew."""

    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"

    @contextmanager
    def running(self) -> Iterator[ServerProcess]:
        """Run the server until the end of the block."""
        with running_process(self.aws, TASKGATE_HTTP_PORT=str(self.port)) as server:
            wait_until(self._is_ready)
            yield server

    def counts(self, parent: str) -> dict[str, int]:
        """Return the number of tasks by state."""
        summary = self.call("SummarizeTasks", {"parent": parent, "maxAge": "0s"})
        return {
            each["state"].removeprefix("TASK_STATE_"): each["count"]
            for each in summary["counts"]["states"]
        }

    def call(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call a method of TaskService with JSON."""
        call = urllib.request.Request(  # noqa: S310  # of this test's server
            f"{self.address}taskgate.v1.TaskService/{method}",
            json.dumps(request).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(call, timeout=30) as response:  # noqa: S310  # of this test's server
            loaded: dict[str, Any] = json.load(response)
        return loaded

    def _is_ready(self) -> bool:
        try:
            services = self.call("GetServerInfo", {})["awsServices"]
        except OSError:
            return False
        return all(each.get("ready") for each in services)


def wait_until_loaded(page: Page) -> None:
    """Wait until the page has all tasks."""
    badge = page.locator(".live[data-state=live]", has_text="Live")
    badge.wait_for(timeout=LOAD_SECONDS * 1000)


def shown_counts(page: Page) -> dict[str, int]:
    """Return the numbers by state that the page shows; a state that it filters by may have none."""
    buttons = page.locator(".count-button:visible").all_inner_texts()
    found = [re.fullmatch(r"([\d,]+)\s*(\w+)", text.strip()) for text in buttons]
    counts = {each[2].upper(): int(each[1].replace(",", "")) for each in found if each}
    return {state: count for state, count in counts.items() if count > 0}


def frame_times(page: Page, seconds: float) -> list[float]:
    """Return the milliseconds between the frames of a page during some seconds."""
    times: list[float] = page.evaluate(_FRAMES, seconds)
    return [later - earlier for earlier, later in pairwise(times)]


def task_times(page: Page, seconds: float) -> list[float]:
    """Return the CPU milliseconds of each task of the page's main thread during some seconds.

    Unlike the time between frames, this does not depend on what else the machine does.
    """
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["toplevel"])
    page.wait_for_timeout(seconds * 1000)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    return [
        each.get("tdur", 0) / 1000
        for each in events
        if each["name"].endswith("RunTask") and (each["pid"], each["tid"]) in threads
    ]
