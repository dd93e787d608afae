"""An emulator with a state file that is killed while jobs run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import FARM_ID, QUEUE_ID
from tests.emulator.deadline_jobs import CHUNKED, counts_of
from tests.emulator.killed import killed_emulator


def test_jobs_continue_after_a_kill(tmp_path: Path, connect: Any) -> None:
    file, queue = tmp_path / "state", {"farmId": FARM_ID, "queueId": QUEUE_ID}
    with killed_emulator(file) as where:
        client = connect(where, "deadline")
        jobs = [
            client.create_job(**queue, template=CHUNKED, templateType="YAML", priority=number)
            for number in range(10)
        ]
        ids = [{**queue, "jobId": job["jobId"]} for job in jobs]
        client.update_job(**ids[0], targetTaskRunStatus="CANCELED", name="Renamed")
        client.update_job(**ids[1], targetTaskRunStatus="SUSPENDED")
    clock = ManualClock(datetime.now(UTC) + timedelta(seconds=5))
    with Emulator(state=file, clock=clock) as aws:
        client = connect(aws, "deadline")
        assert client.get_job(**ids[0])["name"] == "Renamed"
        assert counts_of(client.get_job(**ids[0])) == {"CANCELED": 5}
        assert counts_of(client.get_job(**ids[1])) == {"SUSPENDED": 5}
        for _ in range(40):
            clock.advance(20)
            client.list_farms()
        for job in ids[2:]:
            assert counts_of(client.get_job(**job)) == {"SUCCEEDED": 5}
            actions = client.list_session_actions(**job)["sessionActions"]
            assert [action["status"] for action in actions] == ["SUCCEEDED"] * 5
        client.update_job(**ids[1], targetTaskRunStatus="PENDING")
        clock.advance(60)
        assert counts_of(client.get_job(**ids[1])) == {"SUCCEEDED": 5}
