cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {a: Any}
outputs: {o: string}
expression: "${return {o: 1};}"
