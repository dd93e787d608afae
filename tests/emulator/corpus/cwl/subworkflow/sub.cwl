cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: "string[]"}
outputs: {o: {type: string, outputSource: second/o}}
steps:
  first: {run: t.cwl, scatter: a, in: {a: a}, out: [o]}
  second: {run: t.cwl, in: {a: {source: first/o, valueFrom: "$(self[0])"}}, out: [o]}
