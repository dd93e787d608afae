cwlVersion: v1.2
$graph:
- {class: CommandLineTool, id: t, baseCommand: echo, requirements: {ResourceRequirement: {coresMin: 8}}, inputs: {a: string}, outputs: {o: stdout}}
- {class: CommandLineTool, id: u, baseCommand: echo, inputs: {a: string}, outputs: {o: stdout}}
