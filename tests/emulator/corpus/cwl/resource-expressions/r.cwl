cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
requirements:
  InlineJavascriptRequirement: {}
  ResourceRequirement: {coresMin: $(inputs.n), ramMin: "$(inputs.n * 4096)"}
inputs: {a: string, n: {type: int, default: 5}}
outputs: {o: stdout}
