"""The task page: state and reason, log, parameters, attempts, actions, interruptions."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.console.conftest import serve
from tests.console.pages import (
    FAILED_RUN_TASK,
    FAILED_TASK,
    PARAMETERS_TASK,
    RUN,
    RUNNING_TASK,
    Console,
)
from tests.support.issuer import AUDIENCE, ISSUER, Issuer

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.console

RUNNING_IDS = {
    "farmId": seed.FARM_ID,
    "queueId": seed.QUEUE_ID,
    "jobId": seed.JOB_ID,
    "stepId": seed.RENDER_STEP_ID,
    "taskId": seed.RUNNING_TASK_ID,
}


def test_state_and_reason_come_first(console: Console) -> None:
    console.open(f"task/{FAILED_RUN_TASK}")
    state = console.panel("State")
    expect(state).to_contain_text("Failed")
    expect(state).to_contain_text("SERVICE_ERROR")
    first = console.page.locator("main section").first
    expect(first).to_contain_text("SERVICE_ERROR")
    expect(console.panel("Details")).to_contain_text("GiB")
    expect(console.page).to_have_title("Failed: " + console.page.title().partition(": ")[2])


def test_log_of_the_task_is_shown(console: Console) -> None:
    console.open(f"task/{FAILED_RUN_TASK}")
    log = console.page.get_by_role("log")
    expect(log.locator(".log-line").first).to_be_visible()
    assert len(log.inner_text().splitlines()) > 1


def test_task_is_live(console: Console, aws: Emulator) -> None:
    console.open(f"task/{RUNNING_TASK}")
    state = console.panel("State")
    expect(state).to_contain_text("Running")
    expect(state).to_contain_text("Live")
    aws.jobs.move(RUNNING_IDS, "FAILED")
    expect(state).to_contain_text("Failed")


def test_parameters_are_hidden_until_they_are_revealed(console: Console) -> None:
    console.open(f"task/{PARAMETERS_TASK}")
    parameters = console.panel("Parameters")
    expect(parameters).to_contain_text("Viscosity")
    console.page.get_by_text("AWS's response").click()
    native = console.page.get_by_label("AWS's response").last
    expect(native).to_contain_text("Viscosity")
    assert "0.0013" not in console.page.content()  # nowhere: it is hidden in AWS's response, too
    parameters.get_by_role("button", name="Reveal the values").click()
    expect(parameters).to_contain_text("0.0013")
    expect(native).to_contain_text("0.0013")
    parameters.get_by_role("button", name="Hide the values").click()
    expect(parameters).not_to_contain_text("0.0013")
    assert "0.0013" not in console.page.content()


def test_attempts_have_logs(console: Console) -> None:
    retried = FAILED_TASK.replace(seed.FAILED_TASK_ID, seed.RETRIED_TASK_ID)
    console.open(f"task/{retried}")
    attempts = console.panel("Attempts")
    expect(attempts.get_by_role("row")).to_have_count(3)  # with the heading
    expect(console.panel("Log")).to_contain_text("attempt 2 of 2")
    attempts.get_by_role("button", name="Log of attempt 1").click()
    expect(console.panel("Log")).to_contain_text("attempt 1 of 2")


def test_retry_is_previewed_confirmed_and_seen(console: Console, aws: Emulator) -> None:
    console.open(f"task/{FAILED_TASK}")
    state = console.panel("State")
    expect(state).to_contain_text("Failed")
    before = [each.operation for each in aws.requests].count("UpdateTask")
    state.get_by_role("button", name="Retry").click()
    dialog = console.page.get_by_role("dialog", name="Retry 1 task?")
    expect(dialog.get_by_role("listitem")).to_contain_text("Failed")
    dialog.get_by_text("The same as a command").click()
    expect(dialog).to_contain_text(f"taskgate retry {FAILED_TASK}")
    assert [each.operation for each in aws.requests].count("UpdateTask") == before
    dialog.get_by_label("Reason").fill("the license server is back")
    dialog.get_by_role("button", name="Retry 1 task").click()
    expect(dialog).to_have_count(0)
    expect(state.locator(".state-label")).not_to_contain_text("Failed")
    expect(state.get_by_role("button", name="Retry")).to_be_focused()


def test_dialog_is_left_without_a_change(console: Console) -> None:
    console.open(f"task/{FAILED_TASK}")
    cancel = console.panel("State").get_by_role("button", name="Cancel")
    cancel.click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    console.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(cancel).to_be_focused()
    expect(console.panel("State")).to_contain_text("Failed")


def test_actions_that_the_service_lacks_are_not_offered(console: Console) -> None:
    console.open(f"task/{FAILED_RUN_TASK}")
    state = console.panel("State")
    expect(state).to_contain_text("cannot cancel, retry or suspend a single task")
    expect(state.get_by_role("button")).to_have_count(0)


def test_command_is_copied_or_selected_where_the_browser_denies_it(console: Console) -> None:
    console.open(f"task/{FAILED_TASK}")
    commands = console.panel("Commands")
    button = commands.get_by_role("button", name="Copy the command: This task")
    page = console.page
    page.evaluate(
        "() => { navigator.clipboard.writeText = async (text) => { document.copied = text; } }"
    )
    button.click()
    expect(button).to_have_text("Copied")
    command = f"taskgate get {FAILED_TASK}"
    assert page.evaluate("document.copied") == command
    page.evaluate(
        "() => { navigator.clipboard.writeText = async () => { throw new Error('denied'); } }"
    )
    button.click()
    expect(button).to_contain_text("Selected")
    assert page.evaluate("getSelection().toString()") == command


def test_unknown_task_is_reported_with_its_request_id(console: Console) -> None:
    console.expected = ("404",)
    console.open(f"task/{RUN}/tasks/404")
    alert = console.page.get_by_role("alert")
    expect(alert).to_contain_text("with id 404 does not exist")
    expect(alert).to_contain_text("request id")


def test_malformed_name_is_reported(console: Console) -> None:
    console.open("task/omics/runs/1")
    expect(console.page.get_by_role("alert")).to_contain_text("is not the name of a task")


def test_page_reconnects_and_misses_no_change(
    aws: Emulator, make_console: Callable[..., Console]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with serve(aws.endpoint_url, keeps_pages=True, http_port=port) as address:
        console = make_console(address)
        console.expected = ("ERR_", "503")
        console.open(f"task/{RUNNING_TASK}")
        expect(console.panel("State")).to_contain_text("Live")
    expect(console.page.get_by_role("alert")).to_contain_text("reconnects by itself")
    aws.jobs.move(RUNNING_IDS, "FAILED")
    with serve(aws.endpoint_url, http_port=port):
        expect(console.panel("State")).to_contain_text("Failed")
        expect(console.panel("State")).to_contain_text("Live")
        expect(console.page.get_by_role("alert")).to_have_count(0)


def test_user_signs_in_with_a_token(aws: Emulator, make_console: Callable[..., Console]) -> None:
    issuer = Issuer()
    with (
        issuer.serving() as keys,
        serve(
            aws.endpoint_url,
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            jwt_keys=keys,
            jwt_algorithms=("ES256",),
        ) as address,
    ):
        console = make_console(address)
        console.expected = ("401",)
        console.open(f"task/{FAILED_RUN_TASK}")
        alert = console.page.get_by_role("alert").first
        expect(alert).to_contain_text("this call needs a token")
        alert.get_by_role("button", name="Enter a token").click()
        console.page.get_by_label("Token", exact=True).fill(f"Bearer {issuer.sign()}")
        console.page.get_by_role("button", name="Sign in", exact=True).last.click()
        expect(console.panel("State")).to_contain_text("Failed")
        stored = json.loads(console.page.evaluate("() => JSON.stringify(localStorage)"))
        assert stored == {}  # only the tab knows it
        console.page.reload()
        expect(console.panel("State")).to_contain_text("Failed")


def test_denied_action_is_reported_with_the_servers_words(
    aws: Emulator, make_console: Callable[..., Console], tmp_path: object
) -> None:
    policy = f"{tmp_path}/policy.cedar"
    with open(policy, "w", encoding="utf-8") as file:  # noqa: PTH123  # a fixture's path
        file.write('permit (principal, action in Action::"read", resource);')
    with serve(aws.endpoint_url, policy_files=[policy]) as address:
        console = make_console(address)
        console.expected = ("403",)
        console.open(f"task/{FAILED_TASK}")
        console.panel("State").get_by_role("button", name="Suspend").click()
        dialog = console.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Suspend 1 task").click()
        expect(dialog.get_by_role("alert")).to_contain_text("does not allow")
        expect(dialog.get_by_role("alert")).to_contain_text("POLICY_DENIED")
