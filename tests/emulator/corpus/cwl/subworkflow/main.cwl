cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: "string[]"}
outputs: []
steps:
  sub: {run: sub.cwl, in: {a: a}, out: [o]}
  last: {run: t.cwl, in: {a: {source: sub/o, valueFrom: x}}, out: [o]}
