"""The hooks of pytest by which every run makes the same random choices, or those of `SEED`.

`tests/conftest.py` has them for all tests. They are apart from its fixtures, which import a server.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import settings as hypothesis_settings

from tests.support.seeds import IS_RANDOM_RUN, SEED, examples, replay_hint

# Examples neither depend on the clock nor on what an earlier run has stored. No deadline: how long
# an example takes depends on the machine's load.
hypothesis_settings.register_profile(
    "taskgate",
    derandomize=not IS_RANDOM_RUN,
    database=None,
    deadline=None,
    print_blob=True,
    max_examples=examples(100),
)
hypothesis_settings.load_profile("taskgate")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Seed hypothesis with `SEED`, before its plugin reads the option."""
    if IS_RANDOM_RUN and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> str:
    """Return the seed for the head of the report."""
    return replay_hint()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed to the report of each failure."""
    report = yield
    if report.failed:
        report.sections.append(("seed", replay_hint()))
    return report
