"""Definitions are read in another process, once, while other requests are served."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from taskgate_emulator import ManualClock
from taskgate_emulator.omics import workflows
from taskgate_emulator.workflows.definition import MAX_CALLS
from taskgate_emulator.workflows.reading import Reading, Readings, Result, compute
from tests.support.omics_runs import PARAMETERS, WDL, make_workflow, start_run, zipped

SCATTER = """\
version 1.0
task T { command {} }
workflow W {
  input { Int n }
  scatter (x in range(n)) { call T }
}
"""


def reading(text: str = WDL, **parameters: object) -> Reading:
    return Reading(
        content=zipped(main_wdl=text), engine=None, main=None, parameters=parameters or None
    )


@pytest.fixture
def readings() -> Iterator[Readings]:
    made = Readings()
    yield made
    made.close()


def test_another_process_reads_what_this_one_would(readings: Readings) -> None:
    for each in (
        reading(),
        Reading(content=zipped(main_wdl=WDL), engine="WDL", main=None, parameters=PARAMETERS),
        reading(bogus=1),
        reading("workflow {"),
    ):
        readings.prepare(each)
        assert readings.is_known(each)
        assert readings.read(each) == compute(each)


def test_reading_that_takes_too_long_is_an_error() -> None:
    readings = Readings(max_seconds=0.01)
    readings.prepare(reading())
    assert "within 0.01 seconds" in str(readings.read(reading()).error)


def test_definition_is_read_here_if_the_other_process_ends() -> None:
    broken = Readings(command=("false",))
    broken.prepare(reading())
    assert broken.read(reading()) == compute(reading())


def test_key_depends_on_the_zip_and_the_parameters() -> None:
    digests = {reading().digest(), reading(a=1).digest(), reading(SCATTER, a=1).digest()}
    assert len(digests) == 3
    assert reading(a=1).digest() == reading(a=1).digest()


def test_requests_are_served_while_a_definition_is_read(
    omics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = omics.create_run_group(name="group")["id"]
    begun, released = Event(), Event()

    def compute_slowly(_self: Readings, each: Reading) -> Result:
        begun.set()
        assert released.wait(60)
        return compute(each)

    monkeypatch.setattr(Readings, "_compute_elsewhere", compute_slowly)
    monkeypatch.setattr(workflows.READINGS, "_results", type(workflows.READINGS._results)())
    with ThreadPoolExecutor(1) as pool:
        created = pool.submit(omics.create_workflow, definitionZip=zipped(main_wdl=WDL))
        assert begun.wait(60)
        assert omics.get_run_group(id=group)["name"] == "group"
        assert not created.done()
        released.set()
        assert created.result()["status"] == "CREATING"


def test_scatter_beyond_the_limit_fails_the_run(omics: Any, clock: ManualClock) -> None:
    workflow = make_workflow(omics, clock, SCATTER)
    run = start_run(omics, workflow, parameters={"n": 200_000})
    clock.advance(60)
    failed = omics.get_run(id=run)
    assert (failed["status"], failed["failureReason"]) == ("FAILED", "WORKFLOW_RUN_FAILED")
    assert f"at most {MAX_CALLS} tasks" in failed["statusMessage"]


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("main_cwl", "1: 2", "cwlVersion"),
        ("main_cwl", "[" * 5_000, "nested too deeply"),
        ("main_cwl", "cwlVersion: v1.2\n$graph: [a]", "main.cwl"),
        ("main_cwl", "cwlVersion: v1.2\nclass: Workflow\ninputs: [a]", "main.cwl:3"),
        ("main_wdl", "workflow {", "line 1"),
        ("main_wdl", "version 1.0\nworkflow W { Int x = " + "(" * 5_000, "main.wdl"),
        ("main_nf", "workflow { A(\n", "main.nf: line 1"),
    ],
)
def test_definition_that_cannot_be_read_fails_its_workflow(
    omics: Any, clock: ManualClock, name: str, text: str, cause: str
) -> None:
    workflow = omics.create_workflow(definitionZip=zipped(**{name: text}))["id"]
    clock.advance(3)
    failed = omics.get_workflow(id=workflow)
    assert failed["status"] == "FAILED"
    assert cause in failed["statusMessage"]
