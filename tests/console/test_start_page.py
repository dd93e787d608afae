"""The start page: readiness, targets, quotas, finding and browsing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.core.state import Account
from taskgate_emulator.seeds import ids as seed
from taskgate_server.config import TargetSettings
from tests.console.conftest import aws_at, serve
from tests.console.pages import FAILED_RUN_TASK, JOB, QUEUE, RUN, Console
from tests.support.running_server import REGION

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.console

QUEUES = "deadline.Queue"
FARM, JOB_ID, QUEUE_ID = seed.FARM_ID, seed.JOB_ID, seed.QUEUE_ID


def test_services_are_shown_with_region_and_readiness(console: Console) -> None:
    console.open()
    server = console.panel("Server")
    expect(server).to_contain_text("AWS Deadline Cloud")
    expect(server.get_by_text("Ready", exact=True)).to_have_count(2)
    expect(server.get_by_text(REGION)).to_have_count(2)


def test_unready_service_is_shown_with_its_reason(
    aws: Emulator, make_console: Callable[..., Console]
) -> None:
    services = aws_at(aws.endpoint_url)
    services["omics"] = aws_at("http://127.0.0.1:9")["omics"]
    with serve(aws.endpoint_url, aws=services) as address:
        console = make_console(address)
        console.expected = ("503",)  # its runs cannot be listed
        console.open()
        server = console.panel("Server")
        expect(server.get_by_text("Not ready", exact=True)).to_have_count(1)
        expect(server).to_contain_text("its endpoint accepts no connections")


def test_quota_usage_is_shown(console: Console) -> None:
    console.open()
    quotas = console.panel("Use of AWS quotas")
    # The page itself has listed the runs; it reads the usage again after some seconds.
    row = quotas.get_by_role("row").filter(has_text="ListRuns")
    expect(row).to_contain_text("9.6")


@pytest.mark.parametrize(
    ("pasted", "route"),
    [
        (RUN, f"#/parent/{RUN}"),
        (f"  {FAILED_RUN_TASK}\n", f"#/task/{FAILED_RUN_TASK}"),
        (f"{JOB_ID} {QUEUE_ID} {FARM}", f"#/parent/{JOB}"),
        (f"arn:aws:omics:us-west-2:123456789012:run/{seed.RUN_ID}", f"#/parent/{RUN}"),
        (
            f"https://us-west-2.console.aws.amazon.com/omics/home?region=us-west-2#/runs/{seed.RUN_ID}",
            f"#/parent/{RUN}",
        ),
        (
            f"https://x.us-west-2.deadlinecloud.amazonaws.com/farms/{FARM}/queues/{QUEUE_ID}/jobs/{JOB_ID}",
            f"#/parent/{JOB}",
        ),
        (f"{FARM}/{QUEUE_ID}", f"#/?in={QUEUE.replace('/', '%2F')}"),
    ],
)
def test_pasted_text_opens_its_page(console: Console, pasted: str, route: str) -> None:
    console.open()
    field = console.page.get_by_label("Find a job, run or task", exact=True)
    field.fill(pasted)
    field.press("Enter")
    expect(console.page).to_have_url(re.compile(re.escape(route)))


def test_what_is_missing_in_a_pasted_text_is_said(console: Console) -> None:
    console.open()
    field = console.page.get_by_label("Find a job, run or task", exact=True)
    field.fill(JOB_ID)
    field.press("Enter")
    expect(console.page.get_by_role("status").filter(has_text="Add the ids")).to_contain_text(
        "farm-…, queue-…"
    )
    field.fill("nonsense")
    field.press("Enter")
    expect(console.page.get_by_text("No name found")).to_be_visible()


def test_browsing_leads_from_farms_to_a_job(console: Console) -> None:
    console.open()
    console.page.get_by_role("link", name="Northlight Pictures").click()
    expect(console.page.get_by_role("heading", level=1)).to_have_text("Queues")
    console.page.get_by_role("table").get_by_role("link").click()
    expect(console.page.get_by_role("heading", level=1)).to_have_text("Jobs")
    expect(console.page.get_by_role("navigation", name="Location")).to_contain_text("queue-7d2e4f")
    console.page.get_by_role("table").get_by_role("link").first.click()
    expect(console.page).to_have_url(re.compile(re.escape(f"#/parent/{QUEUE}/jobs/")))


def test_runs_are_listed_with_their_states(console: Console) -> None:
    console.open()
    row = console.panel("AWS HealthOmics").get_by_role("row").filter(has_text=seed.ENDED_RUN_ID)
    expect(row).to_contain_text("Succeeded")
    expect(row).to_contain_text("COMPLETED")


def test_lists_are_searched_by_text(console: Console, aws: Emulator) -> None:
    for number in range(60):
        aws.jobs.add([1], members={"name": f"shot_{number:03} lighting"})
    console.open(f"?in={QUEUE}")
    jobs = console.panel("Jobs").first
    rows = jobs.get_by_role("rowheader")
    expect(rows).to_have_count(50)
    search = jobs.get_by_role("searchbox", name="Search the jobs below")
    search.fill("LIGHTING shot_05")
    expect(rows).to_have_count(10)
    expect(jobs.get_by_role("status")).to_have_text("10 of 50 jobs match; more are not loaded yet")
    search.fill("shot_003")
    expect(rows).to_have_count(0)
    jobs.get_by_role("button", name="Show more").press("Enter")
    expect(rows).to_have_text(["shot_003 lighting"])
    expect(rows.get_by_role("link")).to_be_focused()  # the button had the focus
    expect(jobs.get_by_role("status")).to_have_text(re.compile(r"^1 of \d+ jobs match$"))
    search.fill("")
    assert rows.count() > 60


def test_names_with_numbers_are_in_natural_order(console: Console, aws: Emulator) -> None:
    names = ["queue 10", "Queue 9", "queue 100", "queue 1"]
    keys = {}
    for number, name in enumerate(names):
        job = aws.jobs.add([1], queue=f"queue-{number:032x}")
        keys[job.farm, job.queue] = name

    def rename(account: Account) -> None:
        for key, name in keys.items():
            account.update(QUEUES, key, displayName=name)

    aws.edit(rename)
    console.open(f"?in=deadline/farms/{FARM}")
    rows = console.panel("Queues").first.get_by_role("rowheader")
    expect(rows).to_have_count(5)
    shown = [each for each in rows.all_inner_texts() if each in names]
    assert shown == ["queue 1", "Queue 9", "queue 10", "queue 100"]


def test_target_is_chosen_and_kept_in_addresses(
    aws: Emulator, make_console: Callable[..., Console]
) -> None:
    with Emulator() as other:
        other.edit(lambda account: account.update("deadline.Farm", (FARM,), displayName="Studio B"))
        targets = {"studio": TargetSettings(aws=aws_at(other.endpoint_url))}
        with serve(aws.endpoint_url, targets=targets) as address:
            console = make_console(address)
            console.open()
            expect(console.page.get_by_role("link", name="Northlight Pictures")).to_be_visible()
            console.page.get_by_label("Target: AWS account and region").select_option("studio")
            console.page.get_by_role("link", name="Studio B").click()
            expect(console.page).to_have_url(re.compile("target=studio"))
            console.page.reload()
            expect(console.page.get_by_label("Target: AWS account and region")).to_have_value(
                "studio"
            )


def test_names_from_aws_are_text(console: Console, aws: Emulator) -> None:
    markup = "<img src=x onerror=alert(1)><b>farm</b>"
    aws.edit(lambda account: account.update("deadline.Farm", (FARM,), displayName=markup))
    console.open()
    expect(console.page.get_by_role("link", name=markup)).to_be_visible()
    expect(console.page.locator("main img, main b")).to_have_count(0)


def test_unknown_route_is_an_error_and_not_a_blank_page(console: Console) -> None:
    console.open("nothing/here")
    expect(console.page.get_by_role("alert")).to_contain_text('no page "nothing"')
