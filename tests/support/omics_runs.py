"""Workflows and runs for the tests of HealthOmics."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from taskgate_emulator import ManualClock

WDL = """\
version 1.1
task Align {
  input { File reads  Int cpu = 4 }
  command <<< echo ~{reads} >>>
  output { File bam = "x.bam" }
  runtime { docker: "bwa:1" cpu: cpu memory: "~{cpu * 2} GiB" }
}
task Merge {
  input { Array[File] bams  String sample }
  command <<< echo >>>
  output { File bam = "m.bam"  Array[File] parts = glob("*.bam") }
  runtime { container: "samtools:1" cpu: 2 memory: "4 GB" acceleratorCount: 1 }
}
workflow W {
  input { Array[File] reads  String sample  Boolean merges = true }
  scatter (each in reads) { call Align { input: reads = each } }
  if (merges) { call Merge { input: bams = Align.bam, sample = sample } }
}
"""
ROLE = "arn:aws:iam::111122223333:role/Omics"
PARAMETERS = {"reads": ["s3://bucket/a", "s3://bucket/b"], "sample": "NA12878"}
MANY = {"reads": [f"s3://bucket/{number}" for number in range(30)], "sample": "s"}
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


def zipped(**files: str) -> bytes:
    """Return a zip of files; `main_wdl` becomes `main.wdl`."""
    return zip_of({".".join(name.rsplit("_", 1)): text for name, text in files.items()})


def zip_of(files: Mapping[str, str]) -> bytes:
    """Return a zip of files, path to text."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return stream.getvalue()


def make_workflow(omics: Any, clock: ManualClock, text: str = WDL, **params: Any) -> str:
    """Return the id of an ACTIVE workflow."""
    definition = zipped(main_wdl=text)
    workflow: str = omics.create_workflow(name="w", definitionZip=definition, **params)["id"]
    clock.advance(3)
    assert omics.get_workflow(id=workflow)["status"] == "ACTIVE"
    return workflow


def start_run(omics: Any, workflow: str, **params: Any) -> str:
    """Return the id of a new run."""
    given = {
        "workflowId": workflow,
        "roleArn": ROLE,
        "outputUri": "s3://bucket/runs",
        "parameters": PARAMETERS,
    }
    run: str = omics.start_run(**{**given, **params})["id"]
    return run


def tasks_of(omics: Any, run: str) -> list[Mapping[str, Any]]:
    pages = omics.get_paginator("list_run_tasks").paginate(id=run)
    return [task for page in pages for task in page["items"]]


def names(omics: Any, run: str, status: str) -> list[str]:
    return [task["name"] for task in tasks_of(omics, run) if task["status"] == status]


def run_to_end(omics: Any, clock: ManualClock, run: str) -> dict[str, Any]:
    """Return the run in its final status."""
    for _ in range(200):
        found: dict[str, Any] = omics.get_run(id=run)
        if found["status"] in ENDED:
            return found
        clock.advance(10)
    raise AssertionError(f"run {run} does not end")
