"""The calls of a run, from definitions in the three languages."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from taskgate_emulator.omics.instances import instance_type
from taskgate_emulator.workflows.definition import (
    Definition,
    DefinitionError,
    PlannedCall,
    open_definition,
)
from tests.support.omics_runs import PARAMETERS, WDL, zip_of, zipped

SUB = """\
version 1.0
import "lib/part.wdl" as part
workflow Main {
  input { Array[Int] xs = [1, 2, 3] }
  scatter (x in xs) { call part.Inner { input: n = x } }
  call part.T as Last { input: n = length(Inner.o) }
}
"""
PART = """\
version 1.0
task T { input { Int n } command {} output { Int o = 1 } runtime { cpu: n } }
workflow Inner {
  input { Int n }
  call T as Second { input: n = First.o }
  call T as First { input: n = n }
  output { Int o = Second.o }
}
"""
UNKNOWN_ARRAY = """\
version 1.1
task Split { command {} output { Array[File] parts = glob("*") } }
task Use { input { File part  String mode = "fast" } command {} }
workflow W {
  input { Int n = 1 }
  if (n > 5) { call Split as Never }
  scatter (part in Split.parts) { call Use { input: part = part } }
  call Split
  call Split as After after Use
}
"""
NEXTFLOW = """\
params.reads = 'x'
/* process NOT { } */
process FASTQC {
  cpus 4
  memory '7.5 GB'
  container 'quay.io/fastqc:1'
  input: path reads
  script:
  \"\"\"
  cpus 99 ${task.cpus}
  \"\"\"
}
process DEEPVARIANT {
  accelerator 1, type: 'nvidia-tesla-t4'
  memory 16.GB
  script: 'x'
}
workflow { FASTQC(1) }
"""
CWL = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {reads: "File[]", reference: {type: "File?", doc: Reference}}
outputs: {bam: {type: File, outputSource: merge/bam}}
steps:
  merge:
    run:
      class: CommandLineTool
      requirements: {ResourceRequirement: {coresMin: 4, ramMin: 8000}}
      inputs: {bams: "File[]"}
      outputs: {bam: stdout}
    in: {bams: {source: align/bam}}
    out: [bam]
  align: {run: tools/align.cwl, scatter: r, in: {r: reads, ref: reference}, out: [bam]}
"""
ALIGN = """\
cwlVersion: v1.2
class: CommandLineTool
hints: [{class: DockerRequirement, dockerPull: 'bwa:1'}]
inputs: {r: File, ref: "File?"}
outputs: {bam: stdout}
"""
EMPTY_CWL = "cwlVersion: v1.2\nclass: Workflow\ninputs: {}\noutputs: {}\n"
STEP_CWL = (
    "{run: {class: ExpressionTool, expression: $(1), inputs: {}, outputs: {o: int}}, "
    "in: {x: %s}, out: [o]}"
)


def wdl(text: str, **others: str) -> Definition:
    return Definition(engine="WDL", main="main.wdl", files={"main.wdl": text, **others})


def after(calls: list[PlannedCall]) -> list[tuple[str, list[str]]]:
    return [(call.name, [calls[position].name for position in call.after]) for call in calls]


def test_wdl_calls_have_resources_and_dependencies() -> None:
    calls = wdl(WDL).plan_calls(PARAMETERS)
    assert after(calls) == [
        ("Align-0-0", []),
        ("Align-0-1", []),
        ("Merge", ["Align-0-0", "Align-0-1"]),
    ]
    resources = [(call.cpus, call.memory, call.gpus, call.image) for call in calls]
    assert resources == [(4, 8, 0, "bwa:1"), (4, 8, 0, "bwa:1"), (2, 4, 1, "samtools:1")]


def test_wdl_inputs_may_be_prefixed_with_the_workflow_name() -> None:
    prefixed = {f"W.{name}": value for name, value in PARAMETERS.items()}
    assert wdl(WDL).plan_calls(prefixed) == wdl(WDL).plan_calls(PARAMETERS)


def test_wdl_false_condition_makes_no_call() -> None:
    calls = wdl(WDL).plan_calls({**PARAMETERS, "merges": False})
    assert [call.name for call in calls] == ["Align-0-0", "Align-0-1"]


def test_wdl_sub_workflow_is_part_of_the_run() -> None:
    calls = wdl(SUB, **{"lib/part.wdl": PART}).plan_calls({})
    ordered = after(calls)
    assert [name for name, _ in ordered] == [
        *(f"{each}-0-{index}" for index in range(3) for each in ("First", "Second")),
        "Last",
    ]
    assert ordered[1] == ("Second-0-0", ["First-0-0"])
    assert len(ordered[-1][1]) == 6
    assert [call.cpus for call in calls if call.name.startswith("First")] == [1, 2, 3]


def test_wdl_scatter_over_a_task_output_is_one_call() -> None:
    calls = wdl(UNKNOWN_ARRAY).plan_calls({})
    assert after(calls) == [("Split", []), ("Use-0-0", ["Split"]), ("After", ["Split", "Use-0-0"])]


def test_wdl_digest_depends_on_the_inputs() -> None:
    def digests(**changed: Any) -> list[str]:
        return [call.digest() for call in wdl(WDL).plan_calls({**PARAMETERS, **changed})]

    first, same = digests(), digests()
    assert first == same
    other = digests(reads=["s3://bucket/a", "s3://bucket/other"])
    # The other read is aligned anew, and so is what comes of it.
    assert [one == two for one, two in zip(first, other, strict=True)] == [True, False, False]
    assert digests(sample="NA1")[:2] == first[:2]


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        pytest.param(WDL, {}, "missing required", id="input missing"),
        pytest.param(WDL, {**PARAMETERS, "bogus": 1}, "bogus", id="input unknown"),
        pytest.param(WDL, {**PARAMETERS, "reads": 1}, "reads", id="input of another type"),
        pytest.param("workflow {", {}, "line 1", id="syntax"),
        pytest.param(
            "version 1.0\ntask T { command {} }\ntask U { command {} }",
            {},
            "no workflow",
            id="no workflow",
        ),
        pytest.param('import "x.wdl" as x\nworkflow W {}', {}, "x.wdl", id="no such import"),
    ],
)
def test_error_of_invalid_wdl_names_the_cause(
    text: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        wdl(text).plan_calls(parameters)


def test_nextflow_calls_of_the_main_workflow_are_tasks() -> None:
    files = {"main.nf": NEXTFLOW, "modules/z.nf": "process LAST { script: 'x' }"}
    definition = Definition(engine="NEXTFLOW", main="main.nf", files=files)
    (call,) = definition.plan_calls({})
    assert (call.name, call.cpus, call.memory, call.image) == ("FASTQC", 4, 8, "quay.io/fastqc:1")
    assert definition.parameter_template() == {"reads": {"optional": True}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workflow {\n  A(1\n}", "m.nf: line 2"),
        ("def x = 'open\nworkflow {}", "m.nf: line 1"),
        ("\n\ndef x = \"${'a' + (1\"", "m.nf: line 3"),
        ("[" * 5_000, "nested"),
        ("include { A } from './none'", "none.nf"),
        ("workflow X { X() }\nworkflow { X() }", "calls itself"),
    ],
)
def test_error_of_invalid_nextflow_names_the_cause(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Definition(engine="NEXTFLOW", main="m.nf", files={"m.nf": text}).plan_calls({})


def test_nextflow_without_a_process_is_an_error() -> None:
    with pytest.raises(DefinitionError, match="no process"):
        Definition(engine="NEXTFLOW", main="m.nf", files={"m.nf": "workflow {}"}).plan_calls({})


def test_cwl_steps_follow_their_sources() -> None:
    files = {"main.cwl": CWL, "tools/align.cwl": ALIGN}
    definition = Definition(engine="CWL", main="main.cwl", files=files)
    calls = definition.plan_calls({"reads": ["a", "b"]})
    assert after(calls) == [
        ("align", []),
        ("align_2", []),
        ("merge", ["align", "align_2"]),
    ]
    assert [(call.cpus, call.memory, call.image) for call in calls[1:]] == [
        (1, 1, "bwa:1"),
        (4, 8, None),
    ]
    assert definition.parameter_template() == {
        "reads": {"optional": False},
        "reference": {"optional": True, "description": "Reference"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "not CWL"),
        ("a: [", "not YAML.*line 1"),
        ("1: 2", "cwlVersion"),
        ("", "not CWL"),
        ("[" * 5_000, "nested too deeply"),
        (EMPTY_CWL + "steps: {a: {run: x.cwl, in: {}, out: []}}", "no file x.cwl"),
        (EMPTY_CWL + "steps: [a]", r"m.cwl:5:1:\s+the `steps` field"),
        (EMPTY_CWL + "steps: {a: null}", "m.cwl:5:9:.*missing required field `run`"),
        ("cwlVersion: v1.2\n$graph: [a]", r"\$graph is not a list"),
        ("cwlVersion: v1.2\n$graph: {a: b}", r"\$graph is not a list"),
        (EMPTY_CWL + f"steps: {{a: {STEP_CWL % 'b/o'}, b: {STEP_CWL % 'a/o'}}}", "circular"),
    ],
)
def test_error_of_invalid_cwl_names_the_cause(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=f"(?s){message}"):
        Definition(engine="CWL", main="m.cwl", files={"m.cwl": text}).plan_calls({})


def test_start_loads_no_workflow_library() -> None:
    code = "import sys; from taskgate_emulator import Emulator; Emulator(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "taskgate_emulator.workflows.definition" in done.stdout.split()
    assert not {"WDL", "cwl_utils", "yaml", "moto"} & set(done.stdout.split())


def test_main_file_and_language_are_detected() -> None:
    found = open_definition(zipped(main_wdl=WDL, lib_wdl=PART), None, None)
    assert (found.engine, found.main, found.text) == ("WDL", "main.wdl", WDL)
    assert open_definition(zipped(only_nf=NEXTFLOW), None, None).engine == "NEXTFLOW"
    assert open_definition(zipped(a_cwl=CWL, b_wdl=WDL), "CWL", None).main == "a.cwl"
    assert open_definition(zipped(a_wdl=WDL, b_wdl=PART), "WDL_LENIENT", "b.wdl").main == "b.wdl"


@pytest.mark.parametrize(
    ("paths", "engine", "expected"),
    [
        pytest.param(["main.nf", "modules/a/main.nf", "x.md"], None, "main.nf", id="nf-core"),
        pytest.param(["r-1/main.nf", "r-1/m/main.nf"], None, "r-1/main.nf", id="zip of GitHub"),
        pytest.param(["a.wdl", "lib/main.wdl"], None, "a.wdl", id="nearest to the root"),
        pytest.param(
            ["main.wdl", "__MACOSX/._main.wdl", "._main.wdl"], None, "main.wdl", id="macOS"
        ),
        pytest.param(["main.wdl", "main.cwl"], "WDL_LENIENT", "main.wdl", id="of the engine"),
    ],
)
def test_main_file_is_nearest_to_the_root(
    paths: list[str], engine: str | None, expected: str
) -> None:
    assert open_definition(zip_of(dict.fromkeys(paths, "x")), engine, None).main == expected


def test_main_file_of_two_languages_is_ambiguous() -> None:
    with pytest.raises(DefinitionError, match="ambiguous"):
        open_definition(zip_of({"main.wdl": "x", "lib/main.cwl": "x"}), None, None)


@pytest.mark.parametrize(
    ("content", "main", "message"),
    [
        (b"no zip", None, "not a zip"),
        (zipped(a_wdl=WDL, b_wdl=PART), None, "is ambiguous"),
        (zipped(main_wdl=WDL), "other.wdl", "no file other.wdl"),
        (zipped(main_txt="x"), "main.txt", "language"),
    ],
)
def test_error_of_an_invalid_definition_names_the_cause(
    content: bytes, main: str | None, message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        open_definition(content, None, main)


@pytest.mark.parametrize(
    ("cpus", "memory", "gpus", "expected"),
    [
        (1, 1, 0, "omics.c.large"),
        (2, 5, 0, "omics.m.large"),
        (4, 30, 0, "omics.r.xlarge"),
        (1, 65, 0, "omics.r.4xlarge"),
        (96, 768, 0, "omics.r.24xlarge"),
        (4, 16, 1, "omics.g5.xlarge"),
        (8, 16, 4, "omics.g5.12xlarge"),
        (49, 16, 1, "omics.g5.16xlarge"),
        (4, 16, 8, "omics.g5.48xlarge"),
        (193, 1, 0, None),
        (1, 1, 9, None),
    ],
)
def test_instance_is_the_smallest_that_fits(
    cpus: int, memory: int, gpus: int, expected: str | None
) -> None:
    assert instance_type(cpus, memory, gpus) == expected
