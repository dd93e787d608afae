"""Runs in a state file, whose emulator is killed while it works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taskgate_emulator import Emulator, ManualClock
from tests.emulator.killed import killed_emulator
from tests.support.omics_runs import WDL, run_to_end, start_run, tasks_of, zipped


def test_runs_continue_after_a_kill(tmp_path: Path, connect: Any) -> None:
    file = tmp_path / "state"
    with killed_emulator(file, speed=10) as where:
        omics = connect(where, "omics")
        workflow = omics.create_workflow(name="w", definitionZip=zipped(main_wdl=WDL))["id"]
        waiter = omics.get_waiter("workflow_active")
        waiter.config.delay = 0.05
        waiter.wait(id=workflow)
        cache = omics.create_run_cache(cacheS3Location="s3://bucket/cache")["id"]
        group = omics.create_run_group(name="g", maxRuns=2)["id"]
        runs = [
            start_run(omics, workflow, runGroupId=group, cacheId=cache, requestId=f"r{number}")
            for number in range(4)
        ]
        omics.cancel_run(id=runs[3])
        omics.tag_resource(resourceArn=omics.get_run(id=runs[0])["arn"], tags={"kept": "yes"})
    clock = ManualClock(datetime.now(UTC) + timedelta(seconds=1))
    with Emulator(state=file, clock=clock) as aws:
        omics = connect(aws, "omics")
        assert omics.get_run(id=runs[0])["tags"] == {"kept": "yes"}
        # The client token is remembered after the restart, so there is only one run.
        assert (
            start_run(omics, workflow, runGroupId=group, cacheId=cache, requestId="r1") == runs[1]
        )
        ends = [run_to_end(omics, clock, run)["status"] for run in runs]
        assert ends == ["COMPLETED"] * 3 + ["CANCELLED"]
        for run in runs[:3]:
            assert [task["status"] for task in tasks_of(omics, run)] == ["COMPLETED"] * 3
        assert len(list(omics.get_paginator("list_runs").paginate().search("items[]"))) >= 4
