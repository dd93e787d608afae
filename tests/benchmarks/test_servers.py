"""The servers of a benchmark, and the checkout that `make bench-compare` measures."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.compare import checkout, table
from benchmarks.machine import BenchError, Process
from benchmarks.servers import Servers
from tests.benchmarks.made_runs import make_run


def test_a_server_is_started_once_and_again_after_it_was_stopped() -> None:
    events: list[str] = []

    @contextmanager
    def start() -> Iterator[Process]:
        events.append("start")
        yield Process(1, "127.0.0.1:1")
        events.append("stop")

    with ExitStack() as stack:
        servers = Servers(stack)
        assert servers.get("one", start) is servers.get("one", start)
        servers.stop("one")
        servers.stop("one")
        servers.get("one", start)
    assert events == ["start", "stop", "start", "stop"]


def test_a_server_that_did_not_start_twice_is_not_started_again() -> None:
    tries = 0

    def start() -> AbstractContextManager[Process]:
        nonlocal tries
        tries += 1
        raise BenchError("no")

    with ExitStack() as stack:
        servers = Servers(stack)
        for _ in range(3):
            with pytest.raises(BenchError, match="no"):
                servers.get("one", start)
    assert tries == 2


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with two commits; its environment is a file."""

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.email", "any@example.com")
    git("config", "user.name", "any")
    makefile = "gen/stamp:\n\tmkdir gen\n\tcp version gen/stamp\n"
    for version in ("old", "new"):
        (tmp_path / "version").write_text(version)
        (tmp_path / "Makefile").write_text(makefile)
        git("add", "version", "Makefile")
        git("commit", "--quiet", "--message", version)
    return tmp_path


def worktrees(repository: Path) -> int:
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=repository, check=True, capture_output=True, text=True
    )
    return len(listed.stdout.splitlines())


def test_a_commit_is_checked_out_with_its_environment_and_removed(repository: Path) -> None:
    with checkout("main~1", repository) as place:
        assert place.parent == repository / "build"
        assert (place / "gen/stamp").read_text() == "old"
        assert worktrees(repository) == 2
    assert not place.exists()
    assert worktrees(repository) == 1


def test_a_checkout_is_removed_after_an_error(repository: Path) -> None:
    (repository / "Makefile").write_text("gen/stamp:\n\techo out of disk; exit 1\n")
    commit = ["git", "commit", "--quiet", "--all", "--message", "broken"]
    subprocess.run(commit, cwd=repository, check=True)
    with pytest.raises(BenchError, match="out of disk"), checkout("main", repository):
        pass
    assert worktrees(repository) == 1
    assert list((repository / "build").iterdir()) == []


@pytest.mark.parametrize("commit", ["main~9", "--all", ""])
def test_what_is_no_commit_is_refused(repository: Path, commit: str) -> None:
    with pytest.raises(BenchError, match="rev-parse"), checkout(commit, repository):
        pass
    assert worktrees(repository) == 1


def test_two_versions_are_compared_within_each_round() -> None:
    text = table(
        {
            "old": {0: make_run(100, 200), 1: make_run(10, 220)},
            "checkout": {0: make_run(150, 100), 1: make_run(15, 110)},
        }
    )
    ratios = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert ratios == ["checkout / base", "1.500", "1.000", "1.000", "0.500", "-", ""]
