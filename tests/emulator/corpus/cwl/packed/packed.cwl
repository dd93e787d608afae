cwlVersion: v1.2
$graph:
- class: CommandLineTool
  id: "#rev.cwl"
  baseCommand: rev
  requirements: [{class: ResourceRequirement, coresMin: 2}]
  inputs: [{id: "#rev.cwl/in", type: File}]
  outputs: [{id: "#rev.cwl/out", type: stdout}]
- class: CommandLineTool
  id: "#sort.cwl"
  baseCommand: sort
  inputs: [{id: "#sort.cwl/in", type: File}]
  outputs: [{id: "#sort.cwl/out", type: stdout}]
- class: Workflow
  id: "#main"
  inputs: [{id: "#main/input", type: File}, {id: "#main/opt", type: ["null", int]}]
  outputs: [{id: "#main/output", type: File, outputSource: "#main/sorted/out"}]
  steps:
  - id: "#main/sorted"
    run: "#sort.cwl"
    in: [{id: "#main/sorted/in", source: "#main/rev/out"}]
    out: ["#main/sorted/out"]
  - id: "#main/rev"
    run: "#rev.cwl"
    in: [{id: "#main/rev/in", source: "#main/input"}]
    out: ["#main/rev/out"]
