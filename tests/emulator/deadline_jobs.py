"""Templates and jobs for the tests of Deadline Cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from taskgate_emulator import ManualClock

SCRIPT = {"actions": {"onRun": {"command": "render"}}}
CHUNKED = """
specificationVersion: jobtemplate-2023-09
extensions: [TASK_CHUNKING]
name: "Shot {{Param.Shot}}"
description: Two steps
parameterDefinitions:
  - {name: Shot, type: STRING, default: "042"}
  - {name: Last, type: INT, default: 20}
steps:
  - name: Composite
    dependencies: [{dependsOn: Render}]
    script: {actions: {onRun: {command: composite}}}
  - name: Render
    hostRequirements:
      attributes: [{name: attr.worker.os.family, anyOf: [linux]}]
      amounts: [{name: amount.worker.vcpu, min: 4}]
    parameterSpace:
      taskParameterDefinitions:
        - name: Frames
          type: CHUNK[INT]
          range: "1-{{Param.Last}}"
          chunks: {defaultTaskCount: 10, rangeConstraint: CONTIGUOUS}
        - {name: Camera, type: STRING, range: [left, right]}
      combination: "Frames * Camera"
    script: {actions: {onRun: {command: render}}}
"""


def template(
    *others: Mapping[str, Any], extensions: list[str] | None = None, **members: Any
) -> str:
    """Return a template with other steps and one step with the given members."""
    document: dict[str, Any] = {"specificationVersion": "jobtemplate-2023-09", "name": "J"}
    if extensions:
        document["extensions"] = extensions
    steps = [*others, {"name": "One", "script": SCRIPT, **members}]
    return json.dumps({**document, "steps": steps})


def frames(last: int) -> dict[str, Any]:
    space = {"taskParameterDefinitions": [{"name": "F", "type": "INT", "range": f"1-{last}"}]}
    return {"parameterSpace": space}


def create(deadline: Any, queue: Mapping[str, str], text: str, **params: Any) -> dict[str, str]:
    given = {"priority": 50, "templateType": "JSON", **params}
    return {**queue, "jobId": deadline.create_job(**queue, template=text, **given)["jobId"]}


def steps_of(deadline: Any, job: Mapping[str, str]) -> dict[str, dict[str, str]]:
    rows = deadline.list_steps(**job)["steps"]
    return {row["name"]: {**job, "stepId": row["stepId"]} for row in rows}


def counts_of(row: Mapping[str, Any]) -> dict[str, int]:
    return {word: count for word, count in row["taskRunStatusCounts"].items() if count}


def advance(deadline: Any, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1)
    deadline.list_farms()
