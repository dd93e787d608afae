cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
requirements:
  ResourceRequirement: {coresMin: 4, ramMin: 8192}
  DockerRequirement: {dockerPull: "quay.io/x:1"}
inputs: {a: string}
outputs: {o: stdout}
