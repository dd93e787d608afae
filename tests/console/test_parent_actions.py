"""Commands on the page of a parent: for all of it, and for the tasks that a filter matches."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskgate_emulator import Emulator
from tests.console.conftest import serve
from tests.console.pages import FAILED_TASK, JOB, RUN, Console
from tests.console.parent_pages import RestartableServer, shown_counts, wait_until_loaded
from tests.support.polling import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.console

READ_ONLY = 'permit (principal, action in Action::"read", resource);'

MakeConsole = Callable[..., Console]


def open_job(console: Console, name: str, query: str = "") -> Page:
    """Show the page of a parent with all tasks."""
    console.open(f"parent/{name}{query}")
    wait_until_loaded(console.page)
    return console.page


def add_job(aws: Emulator) -> tuple[str, str]:
    """Add a job with steps of 30 and 10 tasks; return its name and that of its first step."""
    job = aws.jobs.add([30, 10])
    for number in (2, 3, 5):
        aws.jobs.move(job.task(number), "FAILED")
    aws.jobs.move(job.task(4), "SUCCEEDED")
    aws.jobs.move(job.task(0, step=1), "FAILED")
    name = f"deadline/farms/{job.farm}/queues/{job.queue}/jobs/{job.job}"
    return name, f"{name}/steps/{job.steps[0]}"


def calls(aws: Emulator) -> Counter[str]:
    """Return the number of requests by operation."""
    return Counter(each.operation or "" for each in aws.requests)


def commands(dialog: Locator) -> list[str]:
    """Return the equivalent commands of a dialog."""
    dialog.get_by_text("The same as a command").click()
    return list(dialog.locator(".command").all_inner_texts())


def whole(page: Page, kind: str) -> Locator:
    """Return the buttons for the parent as a whole."""
    return page.get_by_role("group", name=f"Whole {kind}")


@pytest.fixture
def farm() -> Emulator:
    """An emulator without resources, whose jobs do not progress."""
    return Emulator(seed="empty")


def test_whole_job_is_suspended_by_one_call(make_console: MakeConsole, farm: Emulator) -> None:
    with farm, serve(farm.endpoint_url) as address:
        name, _ = add_job(farm)
        page = open_job(make_console(address), name)
        whole(page, "job").get_by_role("button", name="Suspend job").click()
        dialog = page.get_by_role("dialog", name="Suspend the whole job?")
        preview = dialog.get_by_role("list", name="Tasks by state")
        expect(preview.get_by_role("listitem")).to_have_text(["Failed4", "Queued35", "Succeeded1"])
        shown = commands(dialog)
        assert shown[0] == f"taskgate suspend --parent {name}"
        assert "taskgate.deadline.v1.DeadlineService/UpdateJob" in shown[1]
        assert calls(farm)["UpdateJob"] == 0
        dialog.get_by_role("button", name="Suspend the whole job").click()
        expect(dialog).to_have_count(0)
        expected = {"FAILED": 4, "SUCCEEDED": 1, "SUSPENDED": 35}
        wait_until(lambda: shown_counts(page) == expected)
        made = calls(farm)
        assert (made["UpdateJob"], made["BatchUpdateTask"], made["UpdateTask"]) == (1, 0, 0)


def test_whole_step_is_cancelled_without_the_other_steps(
    make_console: MakeConsole, farm: Emulator
) -> None:
    with farm, serve(farm.endpoint_url) as address:
        name, step = add_job(farm)
        page = open_job(make_console(address), step)
        whole(page, "step").get_by_role("button", name="Cancel step").click()
        dialog = page.get_by_role("dialog", name="Cancel the whole step?")
        expect(dialog).to_contain_text("tasks that have not succeeded or failed")
        dialog.get_by_role("button", name="Cancel the whole step").click()
        expect(dialog).to_have_count(0)
        wait_until(lambda: shown_counts(page) == {"CANCELLED": 26, "FAILED": 3, "SUCCEEDED": 1})
        # All of its tasks have ended: only a retry has an effect.
        cancel = whole(page, "step").get_by_role("button", name="Cancel step")
        expect(cancel).to_have_attribute("aria-disabled", "true")
        expect(cancel).to_have_attribute("title", "The step has ended")
        open_job(make_console(address), name)
        assert calls(farm)["UpdateStep"] == 1


def test_run_is_cancelled_only_as_a_whole(console: Console, aws: Emulator) -> None:
    page = open_job(console, RUN, "?states=succeeded")
    buttons = whole(page, "run").get_by_role("button")
    expect(buttons).to_have_text(["Cancel run"])
    expect(page.get_by_role("group", name="Actions")).to_have_count(0)
    buttons.click()
    dialog = page.get_by_role("dialog", name="Cancel the whole run?")
    assert ["taskgate.omics.v1.OmicsService/CancelRun" in each for each in commands(dialog)] == [
        True
    ]
    dialog.get_by_role("button", name="Cancel the whole run").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".parent-state")).to_contain_text("Cancelled")
    expect(buttons).to_have_attribute("aria-disabled", "true")
    buttons.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#announcer")).to_have_text("The run has ended")
    assert calls(aws)["CancelRun"] == 1


def test_all_tasks_that_match_a_filter_are_retried(
    make_console: MakeConsole, farm: Emulator
) -> None:
    with farm:
        name, _ = add_job(farm)
        server = RestartableServer(farm)
        with server.running():
            console = make_console(server.address)
            console.expected = ("net::ERR_",)
            page = open_job(console, name)
            expect(page.locator(".selection")).to_be_hidden()
            page.locator(".count-button", has_text="Failed").click()
            line = page.locator(".selection")
            expect(line).to_contain_text("4 tasks match the filter")
            field = page.get_by_label("Filter, in the grammar of ListTasks")
            field.fill("parameters.Frame > 2")
            field.press("Enter")
            expect(line).to_contain_text("2 tasks match the filter")
            page.get_by_role("group", name="Actions").get_by_role("button", name="Retry").click()
            dialog = page.get_by_role("dialog", name="Retry 2 tasks?")
            items = dialog.get_by_role("list", name="Affected tasks").get_by_role("listitem")
            expect(items).to_contain_text(["Failed", "Failed"])
            command = shlex.split(commands(dialog)[0])
            assert command[:4] == ["taskgate", "retry", "--parent", name]
            matched = server.call("ListTasks", {"parent": name, "filter": command[5]})["tasks"]
            assert [each["state"] for each in matched] == ["TASK_STATE_FAILED"] * 2
            dialog.get_by_role("button", name="Retry 2 tasks").click()
            expect(dialog).to_have_count(0)
            expect(line).to_be_hidden()  # none of those that match is failed any more
            expect(page.get_by_role("tab", name="Grid")).to_be_focused()
            page.locator(".count-button", has_text="Failed").click()
            field.fill("")
            field.press("Enter")
            wait_until(lambda: shown_counts(page)["FAILED"] == 2)
            assert calls(farm)["BatchUpdateTask"] == 1
            page.close()


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "filtered"])
def test_denied_command_is_reported_with_the_servers_words(
    make_console: MakeConsole, aws: Emulator, tmp_path: Path, is_whole: bool
) -> None:
    policy = tmp_path / "policy.cedar"
    policy.write_text(READ_ONLY)
    with serve(aws.endpoint_url, policy_files=[policy]) as address:
        console = make_console(address)
        console.expected = ("403",)
        page = open_job(console, JOB, "?states=succeeded")
        group = whole(page, "job") if is_whole else page.get_by_role("group", name="Actions")
        group.get_by_role("button", name="Retry").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name=re.compile("^Retry ")).click()
        alert = dialog.get_by_role("alert").first
        expect(alert).to_contain_text("does not allow")
        expect(alert).to_contain_text("POLICY_DENIED")
        assert not {"UpdateJob", "UpdateTask", "BatchUpdateTask"} & calls(aws).keys()


@pytest.mark.parametrize("route", [f"parent/{JOB}", f"task/{FAILED_TASK}"], ids=["job", "task"])
def test_commands_are_offered_after_a_failure_to_read_what_is_supported(
    console: Console, route: str
) -> None:
    console.expected = ("ERR_FAILED",)
    failures: list[Route] = []

    def fail_once(each: Route) -> None:
        if failures:
            each.continue_()
        else:
            failures.append(each)
            each.abort()

    console.page.route("**/GetServerInfo", fail_once)
    console.open(route)
    expect(console.page.get_by_role("button", name="Suspend").first).to_be_visible()
    assert failures


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_dialogs(
    make_console: MakeConsole, address: str, scheme: str, screenshots: Path
) -> None:
    console = make_console(address, color_scheme=scheme, reduced_motion="reduce")
    page = open_job(console, JOB, "?states=succeeded")
    for label, group in (("whole", whole(page, "job")), ("filtered", page.locator(".selection"))):
        group.get_by_role("button", name="Suspend").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("listitem").first).to_be_visible()
        dialog.get_by_text("The same as a command").click()
        page.screenshot(path=screenshots / f"suspend-{label}-{scheme}.png")
        assert console.axe() == []
        dialog.get_by_role("button", name="Back").click()
