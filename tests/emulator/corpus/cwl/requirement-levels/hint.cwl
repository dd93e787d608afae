cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
hints: {ResourceRequirement: {coresMin: 3}}
inputs: {a: string}
outputs: {o: stdout}
