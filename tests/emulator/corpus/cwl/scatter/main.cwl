cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: "string[]"}
outputs: []
steps:
  one: {run: t.cwl, scatter: a, in: {a: a}, out: [o]}
  two: {run: t.cwl, scatter: a, in: {a: one/o}, out: [o]}
