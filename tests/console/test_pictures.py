"""The pictures of the docs: `make console-pictures` writes them to docs/."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.core.state import Account
from taskgate_emulator.deadline.tasks import STEP
from tests.console.conftest import aws_at, serve
from tests.console.pages import FAILED_RUN_TASK, Console
from tests.console.parent_pages import wait_until_loaded

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.console

MAX_BYTES = 200_000
WIDTH = 1280

STEPS = {
    "Simulate cloth": {"SUCCEEDED": 24},
    "Render beauty": {"SUCCEEDED": 198, "FAILED": 3, "RUNNING": 18, "READY": 21},
    "Render effects": {"SUCCEEDED": 61, "RUNNING": 9, "READY": 48, "SUSPENDED": 2},
    "Composite": {"PENDING": 120},
    "Encode": {"PENDING": 3},
}
"""The statuses of a job's tasks at Deadline Cloud, by step, in their usual order."""

AFTER = {"Composite": (1, 2), "Encode": (3,)}
"""The steps that have to succeed before a step, by position."""

MINUTES = {"Simulate cloth": 7.0, "Render beauty": 4.5, "Render effects": 2.5}
"""How long a task runs, by step."""

MakeConsole = Callable[..., Console]


def test_picture_of_the_start_page(console: Console, screenshots: Path) -> None:
    console.open()
    expect(console.panel("Server").get_by_text("Ready", exact=True)).to_have_count(2)
    expect(console.panel("Use of AWS quotas").get_by_role("row").last).to_be_visible()
    expect(console.page.get_by_role("link", name="Northlight Pictures")).to_be_visible()
    expect(console.page.locator(".loading")).to_have_count(0)
    take(console.page, screenshots / "console-start.png")


def test_picture_of_the_page_of_a_job(make_console: MakeConsole, screenshots: Path) -> None:
    with Emulator() as aws:
        job = add_job(aws, Random(3))  # noqa: S311  # of test data
        with serve(aws.endpoint_url, aws=aws_at(aws.endpoint_url, quotas="published")) as address:
            console = make_console(address, reduced_motion="reduce")
            console.open(f"parent/{job}")
            page = console.page
            wait_until_loaded(page)
            expect(page.locator(".grid-step", has_text="Composite")).to_be_visible()
            expect(page.get_by_role("region", name="Summary")).to_contain_text("About")
            take(page, screenshots / "console-parent.png")


def test_picture_of_the_page_of_a_task(
    make_console: MakeConsole, address: str, screenshots: Path
) -> None:
    console = make_console(address, color_scheme="dark", reduced_motion="reduce")
    console.open(f"task/{FAILED_RUN_TASK}")
    expect(console.page.locator(".log-line").first).to_be_visible()
    expect(console.panel("Attempts").get_by_role("row").last).to_be_visible()
    expect(console.page.locator(".loading")).to_have_count(0)
    take(console.page, screenshots / "console-task.png")


def take(page: Page, path: Path) -> None:
    """Take a picture of a whole page, which must be small enough for the docs."""
    page.set_viewport_size({"width": WIDTH, "height": 400})
    page.mouse.move(0, 0)
    page.screenshot(path=path, full_page=True, animations="disabled")
    assert path.stat().st_size <= MAX_BYTES


def add_job(aws: Emulator, random: Random) -> str:
    """Add a job in the middle of its work; return its name."""
    sizes = [sum(statuses.values()) for statuses in STEPS.values()]
    job = aws.jobs.add(sizes, members={"name": "ep03_shot042 final frames", "priority": 60})

    def complete(account: Account) -> datetime:
        for position, title in enumerate(STEPS):
            key = (*job.ids.values(), job.steps[position])
            before = tuple(job.steps[each] for each in AFTER.get(title, ()))
            account.update(STEP, key, name=title, _dependsOn=before)
        return account.now

    now = aws.edit(complete)
    for position, (title, statuses) in enumerate(STEPS.items()):
        created = now - timedelta(hours=3, minutes=-position)
        for number, status in enumerate(in_turn(statuses, random)):
            members = times(status, MINUTES.get(title, 0), now, random)
            task = job.task(number, position)
            aws.jobs.move(task, status, createdAt=created, **members)
    return "deadline/farms/{farmId}/queues/{queueId}/jobs/{jobId}".format(**job.ids)


def in_turn(statuses: dict[str, int], random: Random) -> list[str]:
    """Return the status of each task: the first ones are ahead, but not strictly."""
    ahead = [status for status, count in statuses.items() for _ in range(count)]
    places = [place + random.uniform(-12, 12) for place in range(len(ahead))]
    return [status for _, status in sorted(zip(places, ahead, strict=True))]


def times(status: str, minutes: float, now: datetime, random: Random) -> dict[str, Any]:
    """Return when a task with a status started and ended."""
    lasts = timedelta(minutes=minutes * random.uniform(0.8, 1.3))
    if status in {"SUCCEEDED", "FAILED"}:
        end = now - timedelta(minutes=random.uniform(0.2, 55))
        return {"startedAt": end - lasts, "endedAt": end}
    if status == "RUNNING":
        return {"startedAt": now - lasts * random.uniform(0.1, 0.9)}
    return {}
