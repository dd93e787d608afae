"""Real pages: Debian's Chromium, a server with an HTTP port, and the emulator."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskgate_emulator import Emulator
from taskgate_server.config import AwsSettings
from tests.console.pages import SECONDS, Console
from tests.support.running_server import running_app, settings_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sync_api = pytest.importorskip("playwright.sync_api", reason="make console-test installs it")

sync_api.expect.set_options(timeout=SECONDS * 1000)

WIDTH, HEIGHT = 1280, 900


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of the system, as Playwright's own is for other distributions."""
    executable = shutil.which("chromium")
    assert executable is not None, "chromium is missing: .ci/packages console"
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


_opened: list[Console] = []
"""All consoles of a test."""


def aws_at(endpoint_url: str, **more: object) -> dict[str, AwsSettings]:
    """Return the settings of both AWS services and their logs at an emulator."""
    settings = settings_for(endpoint_url).aws["omics"]
    aws = settings.model_copy(update={"logs_endpoint_url": endpoint_url, **more})
    return {"deadline": aws, "omics": aws}


@contextmanager
def serve(endpoint_url: str, *, keeps_pages: bool = False, **more: object) -> Iterator[str]:
    """Run a server with a console; yield the console's address.

    Args:
        endpoint_url: of the emulator.
        keeps_pages: whether pages stay open when the server stops.
        more: further settings.
    """
    aws = aws_at(endpoint_url)
    settings = settings_for(endpoint_url, **{"http_port": 0, "aws": aws, **more})
    with running_app(settings) as (app, _):
        address = app.server.http_address
        assert address is not None
        yield f"http://{address}/"
        for console in _opened:
            if not keeps_pages:
                console.page.context.close()


@pytest.fixture
def address(aws: Emulator) -> Iterator[str]:
    """The address of a console on the emulator, within AWS's quotas."""
    with serve(aws.endpoint_url, aws=aws_at(aws.endpoint_url, quotas="published")) as address:
        yield address


@pytest.fixture
def make_console(chromium: Browser) -> Iterator[Callable[..., Console]]:
    """Open consoles, by address; each has a browser profile of its own.

    Whatever a page complains about fails the test at its end: errors of scripts, violations of the
    policy, requests to other origins.
    """

    def make(address: str, **options: Any) -> Console:
        viewport = {"width": WIDTH, "height": HEIGHT}
        options = {"viewport": viewport, "locale": "en-GB", **options}
        context = chromium.new_context(**options)
        context.set_default_timeout(SECONDS * 1000)
        console = Console(address, context.new_page())
        _opened.append(console)
        return console

    yield make
    complaints = [complaint for console in _opened for complaint in console.complaints]
    for console in _opened:
        console.page.context.close()
    _opened.clear()
    assert complaints == []


@pytest.fixture
def console(make_console: Callable[..., Console], address: str) -> Console:
    """A console on the emulator, whose page is still empty."""
    return make_console(address)


@pytest.fixture
def screenshots() -> Path:
    """The folder of screenshots; `make console-pictures` sets it to docs/."""
    folder = Path(os.environ.get("CONSOLE_SCREENSHOTS", "build/console"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
