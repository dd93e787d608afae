"""Accessibility of the start page and the task page, and what the pages weigh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.console.pages import FAILED_RUN_TASK, FAILED_TASK, PARAMETERS_TASK, QUEUE, Console

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.console

MAX_TRANSFERRED = 200 * 1024

ROUTES = {
    "start": "",
    "jobs": f"?in={QUEUE}",
    "task": f"task/{FAILED_TASK}",
    "run-task": f"task/{FAILED_RUN_TASK}",
    "parameters": f"task/{PARAMETERS_TASK}",
}


def show(console: Console, page: str) -> None:
    """Show a page and wait until it is complete."""
    console.open(ROUTES[page])
    if page == "start":
        expect(console.panel("Server").get_by_text("Ready", exact=True)).to_have_count(2)
        expect(console.panel("Use of AWS quotas").get_by_role("row").last).to_be_visible()
    if page in {"start", "jobs"}:
        expect(console.page.get_by_role("table").first).to_be_visible()
    else:
        expect(console.page.locator(".log-line").first).to_be_visible()
    expect(console.page.locator(".loading")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ROUTES)
def test_axe_finds_nothing(
    make_console: Callable[..., Console],
    address: str,
    page: str,
    scheme: str,
    screenshots: Path,
) -> None:
    console = make_console(address, color_scheme=scheme, reduced_motion="reduce")
    show(console, page)
    console.page.screenshot(path=screenshots / f"{page}-{scheme}.png", full_page=True)
    assert console.axe() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_dialogs(
    make_console: Callable[..., Console], address: str, scheme: str, screenshots: Path
) -> None:
    console = make_console(address, color_scheme=scheme)
    show(console, "task")
    console.panel("State").get_by_role("button", name="Cancel").click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_be_visible()
    console.page.screenshot(path=screenshots / f"cancel-{scheme}.png")
    assert console.axe() == []


@pytest.mark.parametrize("page", ROUTES)
def test_narrow_window_needs_no_horizontal_scrolling(
    make_console: Callable[..., Console], address: str, page: str, screenshots: Path
) -> None:
    console = make_console(address, viewport={"width": 360, "height": 740})
    show(console, page)
    console.page.screenshot(path=screenshots / f"{page}-narrow.png", full_page=True)
    assert console.overflow() <= 0
    assert console.axe() == []


def test_skip_link_leads_to_the_content(console: Console) -> None:
    show(console, "start")
    console.page.keyboard.press("Tab")
    expect(console.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    console.page.keyboard.press("Enter")
    expect(console.page.locator("main")).to_be_focused()
    expect(console.page.get_by_role("heading", name="Server", exact=True)).to_be_visible()


def test_new_page_gets_the_focus(console: Console) -> None:
    show(console, "start")
    console.page.get_by_role("link", name="Northlight Pictures").press("Enter")
    expect(console.page.get_by_role("heading", level=1)).to_have_text("Queues")
    expect(console.page.locator("main")).to_be_focused()


def test_theme_is_chosen_and_kept(make_console: Callable[..., Console], address: str) -> None:
    console = make_console(address, color_scheme="light")
    console.open()
    background = "() => getComputedStyle(document.documentElement).backgroundColor"
    light = console.page.evaluate(background)
    button = console.page.get_by_role("button", name="Change")
    button.click()
    button.click()
    expect(button).to_have_accessible_name("Dark theme. Change")
    dark = console.page.evaluate(background)
    assert dark != light
    console.page.reload()
    expect(button).to_have_accessible_name("Dark theme. Change")
    assert console.page.evaluate(background) == dark


def test_all_files_of_a_page_are_small(console: Console) -> None:
    sizes: list[int] = []
    console.page.on("response", lambda response: sizes.append(_transferred(response)))
    show(console, "task")
    assert len(sizes) > 10
    assert sum(sizes) < MAX_TRANSFERRED


def _transferred(response: object) -> int:
    """Return the bytes of a static file as it was sent; 0 for a call."""
    request = response.request  # type: ignore[attr-defined]  # Playwright's, which may be missing
    return 0 if request.method == "POST" else int(request.sizes()["responseBodySize"])
