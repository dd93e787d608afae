"""`taskgate open`: the address of the page, and the browser."""

from __future__ import annotations

import webbrowser

import pytest

from tests.client.conftest import Run
from tests.support.fake_service import RUN

QUEUE = "deadline/farms/farm-1/queues/queue-2"
JOB = f"{QUEUE}/jobs/job-3"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the browser was to open."""
    addresses: list[str] = []

    def open_(url: str) -> bool:
        addresses.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    monkeypatch.setenv("TASKGATE_CONSOLE", "https://taskgate.example.com/farm")
    return addresses


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        ([], "#/"),
        ([RUN], f"#/parent/{RUN}"),
        ([JOB], f"#/parent/{JOB}"),
        ([f"{JOB}/steps/step-4"], f"#/parent/{JOB}/steps/step-4"),
        ([f"{JOB}/steps/step-4/tasks/task-5"], f"#/task/{JOB}/steps/step-4/tasks/task-5"),
        ([QUEUE, "--target", "lab"], f"#/?in={QUEUE}&target=lab"),
        ([RUN, "--target", "a b"], f"#/parent/{RUN}?target=a+b"),
        (["batch/queues/q/tasks/ä?#"], "#/task/batch/queues/q/tasks/%C3%A4%3F%23"),
    ],
)
def test_page_of_a_name_is_opened(
    run: Run,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    page: str,
) -> None:
    assert run("open", *arguments) == 0
    assert opened == [f"https://taskgate.example.com/farm/{page}"]
    assert capsys.readouterr().out == f"{opened[0]}\n"


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--address", "127.0.0.1:50051"], "http://127.0.0.1:8080/"),
        (["--address", "dns:///farm.example.com:443", "--tls"], "https://farm.example.com:8080/"),
        (["--address", "[::1]:50051"], "http://[::1]:8080/"),
        (["--address", "ipv6:[::1]:50051,[::2]:50051"], "http://[::1]:8080/"),
        (["--address", "unix:/run/taskgate.sock"], "http://127.0.0.1:8080/"),
        (["--console", "http://localhost:9000"], "http://localhost:9000/"),
    ],
)
def test_console_is_derived_from_the_address_of_the_server(
    run: Run,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    start: str,
) -> None:
    monkeypatch.delenv("TASKGATE_CONSOLE")
    assert run("open", *options) == 0
    assert opened == [f"{start}#/"]


def test_print_opens_no_browser(
    run: Run, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("open", RUN, "--print") == 0
    assert opened == []
    assert capsys.readouterr().out == f"https://taskgate.example.com/farm/#/parent/{RUN}\n"


def test_without_a_browser_the_address_is_printed(
    run: Run,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert run("open") == 1
    printed = capsys.readouterr()
    assert printed.out == "https://taskgate.example.com/farm/#/\n"
    assert "no browser" in printed.err
    assert opened == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["omics/runs"],
        ["omics/runs//tasks/1"],
        [RUN, "--console", "ftp://taskgate.example.com/"],
        [RUN, "--console", "taskgate.example.com"],
        [RUN, "--console", "https://taskgate.example.com/?a=b"],
    ],
)
def test_what_is_no_page_exits_with_2(
    run: Run, opened: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run("open", *arguments) == 2
    assert capsys.readouterr().err.startswith("taskgate open: ")
    assert opened == []
