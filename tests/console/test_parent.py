"""The page of a parent in a real browser."""

from __future__ import annotations

import re
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.control import AddedJob
from tests.console.pages import JOB, RUN, Console
from tests.console.parent_pages import (
    RestartableServer,
    frame_times,
    shown_counts,
    task_times,
    wait_until_loaded,
)
from tests.console.scripted_server import JOB as BUSY_JOB
from tests.console.scripted_server import BusyJob, serving
from tests.support.polling import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.console

MANY_TASKS = 10_000
CHANGES_PER_SECOND = 300
MAX_FRAME_MS = 100
MIN_FRAMES_PER_SECOND = 59.5
"""A display of 60 Hz shows a frame each 16.67 ms; the browser's clock rounds to 0.1 ms."""
MAX_TASK_MS = 50
"""What browsers call a long task. Sorting, once a second, may take longer than a frame."""
MEASURED_SECONDS = 10
MEASURED_ROUNDS = 3
MAX_TRANSFERRED = 200 * 1024
END_MS = 60_000
POLLED_SECONDS = 15
MAX_TABS_FACTOR = 1.5
VIEWS = ("grid", "timeline", "table")

MakeConsole = Callable[..., Console]


@pytest.fixture
def farm() -> Iterator[Emulator]:
    """Yield an emulator without resources."""
    with Emulator(seed="empty") as aws:
        yield aws


def console_of(make_console: MakeConsole, server: RestartableServer) -> Console:
    """Open a console on a server that ends before the page does."""
    console = make_console(server.address)
    console.expected = ("net::ERR_",)
    return console


def name_of(job: AddedJob) -> str:
    return f"deadline/farms/{job.farm}/queues/{job.queue}/jobs/{job.job}"


def open_parent(console: Console, parent: str, query: str = "") -> Page:
    """Show the page of a parent with all tasks."""
    console.open(f"parent/{parent}{query}")
    wait_until_loaded(console.page)
    return console.page


def count_of(page: Page, state: str) -> Locator:
    return page.locator(".count-button:visible", has_text=state).locator(".count")


def expect_end(page: Page, server: RestartableServer, parent: str, state: str) -> None:
    """Wait until the page shows the end of a parent."""
    summary = page.get_by_role("region", name="Summary")
    expect(summary).to_contain_text("No task remains.", timeout=END_MS)
    expect(page.locator(".parent-state")).to_contain_text(state, timeout=END_MS)
    assert server.call("SummarizeTasks", {"parent": parent})["parentStatus"]["ended"] is True
    wait_until(lambda: shown_counts(page) == server.counts(parent))


def test_the_demo_run_is_watched_to_its_end(make_console: MakeConsole) -> None:
    with Emulator(speed=20) as aws:
        server = RestartableServer(aws)
        with server.running():
            page = open_parent(console_of(make_console, server), RUN)
            expect_end(page, server, RUN, "COMPLETED")


def test_the_demo_job_is_retried_and_watched_to_its_end(make_console: MakeConsole) -> None:
    with Emulator(speed=20) as aws:
        server = RestartableServer(aws)
        with server.running():
            page = open_parent(console_of(make_console, server), JOB, "?view=table")
            expect(count_of(page, "Succeeded")).to_have_text("13", timeout=END_MS)
            for state in ("Failed", "Suspended", "Cancelled"):
                page.locator(".count-button", has_text=state).click()
            table = page.get_by_role("grid", name="Tasks")
            expect(table).to_have_attribute("aria-rowcount", "4")
            table.press("Control+a")
            expect(page.locator(".selection")).to_contain_text("3 tasks selected")
            page.get_by_role("group", name="Actions").get_by_role("button", name="Retry").click()
            page.get_by_role("dialog").get_by_role("button", name="Retry").click()
            expect_end(page, server, JOB, "Succeeded")
            assert shown_counts(page) == {"SUCCEEDED": 18}


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_no_change_is_lost_while_the_server_is_down(
    make_console: MakeConsole, farm: Emulator, stop: signal.Signals
) -> None:
    job = farm.jobs.add([150, 50])
    server = RestartableServer(farm)
    console = console_of(make_console, server)
    with server.running() as process:
        page = open_parent(console, name_of(job))
        assert shown_counts(page) == {"QUEUED": 200}
        page.evaluate("document.isTheSamePage = true")
        farm.jobs.move(job.task(0), "RUNNING")
        expect(count_of(page, "Running")).to_have_text("1")
        process.stop(stop)
    notice = page.locator(".notice", has_text="Reconnecting")
    notice.wait_for()
    for number in range(100):
        farm.jobs.move(job.task(number), "SUCCEEDED")
    farm.jobs.move(job.task(7, step=1), "FAILED")
    farm.jobs.add_tasks(job.step(1), 5)
    with server.running():
        notice.wait_for(state="hidden")
        expected = {"FAILED": 1, "QUEUED": 104, "SUCCEEDED": 100}
        wait_until(lambda: shown_counts(page) == expected)
        farm.jobs.move(job.task(120), "RUNNING")
        expect(count_of(page, "Running")).to_have_text("1")
        assert page.evaluate("document.isTheSamePage") is True


def test_twenty_tabs_cost_aws_the_calls_of_one(make_console: MakeConsole, farm: Emulator) -> None:
    """From the opening of the first tab on, over the same time, with a change at the same time.

    Each tab has a profile of its own: a browser opens six connections to a server at most.
    """
    job = farm.jobs.add([300])
    farm.jobs.move(job.task(299), "FAILED")  # SummarizeTasks reads lists to name failed tasks
    calls: dict[int, Counter[str | None]] = {}
    opening_seconds = 0.0
    for count in (20, 1):
        server = RestartableServer(farm)
        with server.running():
            consoles = [console_of(make_console, server) for _ in range(count)]
            before = farm.request_count
            start = time.monotonic()
            for each in consoles:
                each.open(f"parent/{name_of(job)}")
            for each in consoles:
                wait_until_loaded(each.page)
            # One tab opens sooner than twenty; it waits for their time.
            opening_seconds = max(opening_seconds, time.monotonic() - start)
            time.sleep(max(0.0, start + opening_seconds - time.monotonic()))
            farm.jobs.move(job.task(count), "RUNNING")
            time.sleep(POLLED_SECONDS)
            made = farm.requests[before - farm.request_count :]
            calls[count] = Counter(each.operation for each in made)
            for each in consoles:
                expect(count_of(each.page, "Running")).to_be_visible()
                each.page.close()
    print(f"{opening_seconds:.0f} s to open: {calls}")  # noqa: T201  # shown with -s or -rP
    # The intervals of polls have jitter, and reads that start at the same time may miss each other.
    assert calls[20].total() <= MAX_TABS_FACTOR * calls[1].total(), calls


def measure(page: Page, label: str) -> tuple[float, float]:
    """Return frames per second and the longest frame, of the best of some rounds.

    Other processes of the machine can only make frames longer, so one round that keeps the bounds
    shows that the page does.
    """
    rounds = []
    for _ in range(MEASURED_ROUNDS):
        frames = frame_times(page, MEASURED_SECONDS)
        rounds.append((max(frames), 1000 / statistics.median(frames)))
        if max(frames) <= MAX_FRAME_MS:
            break
    longest, rate = min(rounds)
    print(  # noqa: T201  # shown with -s or -rP
        f"{label}: {rate:.1f} frames/s, longest frame {longest:.0f} ms; all rounds: {rounds}"
    )
    return rate, longest


@pytest.mark.parametrize("view", VIEWS)
def test_many_tasks_change_smoothly(make_console: MakeConsole, view: str) -> None:
    job = BusyJob(MANY_TASKS, CHANGES_PER_SECOND, Random(1))  # noqa: S311  # of test data
    with serving(job) as address:
        console = make_console(address)
        console.expected = ("net::ERR_",)  # the server ends before the page
        page = open_parent(console, BUSY_JOB, f"?view={view}")
        sent, started = job.sent, time.monotonic()
        rate, longest = measure(page, view)
        changes_per_second = (job.sent - sent) / (time.monotonic() - started)
        assert sum(shown_counts(page).values()) == MANY_TASKS
    assert changes_per_second > CHANGES_PER_SECOND / 2
    assert rate >= MIN_FRAMES_PER_SECOND
    assert longest <= MAX_FRAME_MS


@pytest.mark.parametrize("view", [*VIEWS, "table&sort=name:desc"])
def test_changes_of_many_tasks_take_little_of_a_frame(make_console: MakeConsole, view: str) -> None:
    """The same as CPU time, which holds on a busy machine, too."""
    job = BusyJob(MANY_TASKS, CHANGES_PER_SECOND, Random(1))  # noqa: S311  # of test data
    with serving(job) as address:
        console = make_console(address)
        console.expected = ("net::ERR_",)
        page = open_parent(console, BUSY_JOB, f"?view={view}")
        page.wait_for_timeout(2000)  # the first drawing is over
        sent = job.sent
        times = task_times(page, 5)
        assert job.sent - sent > CHANGES_PER_SECOND
    print(  # noqa: T201  # shown with -s or -rP
        f"{view}: longest task {max(times):.0f} ms of CPU time, {len(times)} tasks"
    )
    assert len(times) > 100
    assert max(times) <= MAX_TASK_MS


def test_many_tasks_load_smoothly(make_console: MakeConsole) -> None:
    job = BusyJob(MANY_TASKS, 20, Random(1))  # noqa: S311  # of test data
    with serving(job) as address:
        console = make_console(address)
        console.expected = ("net::ERR_",)
        page = open_parent(console, BUSY_JOB)
        rounds = []
        for _ in range(MEASURED_ROUNDS):
            # By now the modules are loaded, so that only the tasks are.
            page.evaluate("location.hash = '#/none'")
            expect(page.locator(".live")).to_have_count(0)
            page.evaluate(f"location.hash = '#/parent/{BUSY_JOB}'")
            rounds.append(max(frame_times(page, 3)))
            wait_until_loaded(page)
            assert sum(shown_counts(page).values()) == MANY_TASKS
    print(f"loading: longest frames {rounds} ms")  # noqa: T201  # shown with -s or -rP
    assert min(rounds) <= MAX_FRAME_MS


def test_states_and_expressions_filter_every_view(
    make_console: MakeConsole, farm: Emulator
) -> None:
    job = farm.jobs.add([30, 10])
    for number in (2, 3, 5):
        farm.jobs.move(job.task(number), "FAILED")
    farm.jobs.move(job.task(4, step=1), "SUCCEEDED")
    server = RestartableServer(farm)
    console = console_of(make_console, server)
    console.expected += ("400 (Bad Request)",)
    with server.running():
        page = open_parent(console, name_of(job), "?view=table")
        table = page.get_by_role("grid", name="Tasks")
        expect(table).to_have_attribute("aria-rowcount", "41")
        failed = page.get_by_role("button", name="Failed")
        failed.click()
        expect(table).to_have_attribute("aria-rowcount", "4")
        failed.click()
        field = page.get_by_label("Filter, in the grammar of ListTasks")
        field.fill("state = FAILED OR state = SUCCEEDED")
        field.press("Enter")
        expect(page.locator("#filter-result")).to_contain_text("4 tasks match")
        expect(table).to_have_attribute("aria-rowcount", "5")
        expect(page).to_have_url(re.compile("filter="))
        address = page.evaluate("location.href")
        field.fill("state = FAILED AND nope = 1")
        field.press("Enter")
        expect(page.locator("#filter-result")).to_contain_text("Column 20")
        expect(page.locator("#filter-result mark")).to_have_text("nope")
        page.goto("about:blank")
        page.goto(address)  # as from a link that was shared
        expect(page.get_by_role("grid", name="Tasks")).to_have_attribute("aria-rowcount", "5")


def test_state_that_cannot_be_read_again_is_marked(
    make_console: MakeConsole, farm: Emulator
) -> None:
    job = farm.jobs.add([1], status="RUNNING")
    server = RestartableServer(farm)
    console = console_of(make_console, server)
    with server.running():
        page = open_parent(console, name_of(job))
        summary = page.get_by_role("region", name="Summary")
        expect(page.locator(".parent-state")).to_contain_text("Running")
        expect(summary).not_to_contain_text("out of date")
        page.route("**/SummarizeTasks", lambda route: route.abort())
        farm.jobs.move(job.task(0), "SUCCEEDED")  # once all have settled, the state is read again
        expect(summary).to_contain_text("This state may be out of date, as it cannot be read")
        page.unroute("**/SummarizeTasks")
        expect(page.locator(".parent-state")).to_contain_text("Succeeded")
        expect(summary).not_to_contain_text("out of date")


def test_every_view_works_by_keyboard(make_console: MakeConsole, farm: Emulator) -> None:
    job = farm.jobs.add([30, 10])
    farm.jobs.move(job.task(0), "RUNNING")
    server = RestartableServer(farm)
    with server.running():
        page = open_parent(console_of(make_console, server), name_of(job))
        expect(page.locator(".grid-step", has_text="Step ")).to_have_count(2)
        second = page.locator(".grid-step").nth(1).inner_text()
        page.get_by_role("application").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("PageDown")
        expect(page.locator(".grid [role=status]")).to_contain_text(second)
        page.keyboard.press("Space")
        expect(page.locator(".selection")).to_contain_text("1 task selected")

        page.get_by_role("tab", name="Grid").focus()
        page.keyboard.press("ArrowRight")
        shown = page.locator(".timeline-view [role=status]")
        expect(shown).to_contain_text("Everything")
        page.get_by_role("listbox").focus()
        page.keyboard.press("+")
        # Five seconds is the shortest time that shows: the task has run for less, or for more.
        page.keyboard.press("0")
        expect(shown).to_contain_text("Everything")

        page.get_by_role("tab", name="Timeline").focus()
        page.keyboard.press("ArrowRight")
        page.get_by_role("grid", name="Tasks").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("Shift+ArrowDown")
        expect(page.locator(".selection")).to_contain_text("4 tasks selected")
        page.keyboard.press("Escape")
        expect(page.locator(".selection")).to_be_hidden()
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.wait_for_url("**#/task/**")
        page.go_back()
        expect(page.get_by_role("grid", name="Tasks")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("parent", [JOB, RUN], ids=["job", "run"])
def test_axe_finds_nothing(
    address: str,  # outlives the pages
    make_console: MakeConsole,
    parent: str,
    view: str,
    scheme: str,
    screenshots: Path,
) -> None:
    console = make_console(address, color_scheme=scheme, reduced_motion="reduce")
    page = open_parent(console, parent, f"?view={view}")
    expect(page.locator(".parent-state .state-label")).to_be_visible()
    kind = "job" if parent == JOB else "run"
    page.screenshot(path=screenshots / f"{kind}-{view}-{scheme}.png", full_page=True)
    assert console.axe() == []


@pytest.mark.parametrize("view", VIEWS)
def test_narrow_window_needs_no_horizontal_scrolling(
    address: str, make_console: MakeConsole, view: str, screenshots: Path
) -> None:
    console = make_console(address, viewport={"width": 360, "height": 740})
    page = open_parent(console, JOB, f"?view={view}")
    page.screenshot(path=screenshots / f"job-{view}-narrow.png", full_page=True)
    assert console.overflow() <= 0


def test_all_files_of_the_page_are_small(console: Console) -> None:
    sizes: list[int] = []

    def add(request: Request) -> None:
        if request.method == "GET":
            sizes.append(request.sizes()["responseBodySize"])

    console.page.on("requestfinished", add)
    open_parent(console, JOB)
    print(f"{sum(sizes)} bytes transferred")  # noqa: T201  # shown with -s or -rP
    assert len(sizes) > 10
    assert sum(sizes) < MAX_TRANSFERRED
