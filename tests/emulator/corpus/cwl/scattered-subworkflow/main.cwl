cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: "string[]"}
outputs: []
steps:
  sub: {run: sub.cwl, scatter: a, in: {a: a}, out: [o]}
