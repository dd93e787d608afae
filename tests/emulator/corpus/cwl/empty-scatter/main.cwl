cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: "string[]"}
outputs: []
steps:
  one: {run: t.cwl, scatter: a, in: {a: a}, out: [o]}
  last: {run: t.cwl, in: {a: {default: x}}, out: [o]}
