cwlVersion: v1.2
class: CommandLineTool
baseCommand: split
inputs: {a: string}
outputs: {parts: {type: "string[]", outputBinding: {outputEval: "$([])"}}}
