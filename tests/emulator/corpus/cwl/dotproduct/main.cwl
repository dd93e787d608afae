cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: "string[]", b: "string[]"}
outputs: []
steps:
  s: {run: tab.cwl, scatter: [a, b], scatterMethod: dotproduct, in: {a: a, b: b}, out: [o]}
